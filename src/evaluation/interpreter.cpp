#include "evaluation/interpreter.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <sstream>

#include "base/error.h"
#include "evaluation/child_process.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

// Whatever the program prints goes nowhere.
constexpr const char* driver = R"(
import os, resource, sys, types
class Packages:
    def __init__(self, files):
        self.files = files
    def find_spec(self, name, path=None, target=None):
        file = self.files.get(name) if path is None else None
        if file is None:
            return None
        import importlib.machinery, importlib.util
        folder = os.path.dirname(file)
        if file.endswith("/"):
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [folder]
            return spec
        inner = [folder] if os.path.basename(file) == "__init__.py" else None
        return importlib.util.spec_from_file_location(name, file, submodule_search_locations=inner)
def main(files, limits):
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    marker, *sources = sys.stdin.buffer.read().decode().split("\0")
    report, null = os.dup(1), os.open("/dev/null", os.O_RDWR)
    for fd in 0, 1, 2:
        os.dup2(null, fd)
    if files:
        sys.meta_path.append(Packages(files))
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = ["program.py"]
    os.write(report, b"+")
    for source in sources:
        exec(compile(source, "program.py", "exec", dont_inherit=True), module.__dict__)
    os.write(report, marker.encode())
    os._exit(0)
arguments = [a.split("=", 1) for a in sys.argv[1:]]
main({k[1:]: v for k, v in arguments if k[0] == "+"}, {"CORE": 0, "NOFILE": 64, **{k: int(v) for k, v in arguments if k[0] != "+"}})
)";

// What an interpreter is made of: its file, its library, every shared object that it maps, and the data of
// the system that its library reads where they are there.
constexpr const char* layout_query = R"(
import mimetypes, os, resource, sys, types, zoneinfo
print(os.path.realpath(sys.executable))
print("%d.%d.%d" % sys.version_info[:3])
print(os.path.dirname(os.path.realpath(os.__file__)))
for line in open("/proc/self/maps"):
    path = line.split(None, 5)[-1].strip()
    if path.startswith("/") and ".so" in path:
        print(os.path.realpath(path))
print("data")
print(*filter(os.path.exists, [*mimetypes.knownfiles, *zoneinfo.TZPATH]), sep="\n")
)";

// Of each package named as an argument, and of what it requires: name, version, folders and files, modules.
constexpr const char* package_query = R"(
import importlib.metadata as metadata, importlib.util, os, re, sys
names, todo, seen = {}, [(name, True) for name in sys.argv[1:]], set()
for module, distributions in metadata.packages_distributions().items():
    names.setdefault(module.lower(), distributions[0])
def distribution(name):
    for candidate in name, names.get(name.lower()):
        try:
            return candidate and metadata.distribution(candidate)
        except metadata.PackageNotFoundError:
            pass
while todo:
    name, wanted = todo.pop()
    found = distribution(name)
    if not found:
        if wanted:
            print("missing", name, sep="\t")
        continue
    if found.metadata["Name"] in seen:
        continue
    seen.add(found.metadata["Name"])
    print("package" if wanted else "requirement", found.metadata["Name"], found.version, sep="\t")
    for top in sorted({file.parts[0] for file in found.files or [] if file.parts[0] != ".."}):
        path = os.path.realpath(found.locate_file(top))
        if top.endswith((".dist-info", ".egg-info", ".pth")) or top == "__pycache__" or not os.path.exists(path):
            continue
        print("part", path, sep="\t")
        module = top.split(".")[0]
        if os.path.isdir(path):
            if top == module:
                init = os.path.join(path, "__init__.py")
                print("module", module, init if os.path.exists(init) else path + "/", sep="\t")
        elif top.endswith((".py", ".so")):
            print("module", module, path, sep="\t")
    for requirement in found.requires or []:
        if "extra ==" not in requirement:
            todo.append((re.match(r"[\w.-]+", requirement).group(), False))
)";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// A python3 that a module system provides may need all of it to start.
std::vector<std::string> inherited_environment() {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable; ++variable) environment.emplace_back(*variable);
  return environment;
}

bool lies_below(const std::string& path, const std::vector<std::string>& folders) {
  return std::any_of(folders.begin(), folders.end(),
                     [&](const std::string& folder) { return path.starts_with(folder + "/"); });
}

}  // namespace

std::optional<fs::path> find_program(const std::string& name) {
  std::string path = "/usr/bin:/bin";
  if (const char* own = std::getenv("PATH")) path += std::string(":") + own;
  std::istringstream folders(path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path candidate = fs::path(folder) / name;
    if (folder.starts_with('/') && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

std::vector<std::string> system_folders() {
  std::vector<std::string> folders;
  for (const std::string folder : {"/usr/lib", "/usr/lib64", "/lib", "/lib64"}) {
    if (fs::is_directory(folder)) folders.push_back(folder);
  }
  return folders;
}

namespace {

/// Adds what package_query says of `packages`.
void add_packages(const fs::path& python, const std::vector<std::string>& packages,
                  Interpreter& interpreter) {
  std::vector<std::string> command{python, "-B", "-c", package_query};
  command.insert(command.end(), packages.begin(), packages.end());
  const ChildResult result =
      run_child({.command = command, .environment = inherited_environment(), .output_bytes = 1'000'000});
  if (result.status != 0) fail_config("task.packages: {}: {}", python.string(), result.error);
  for (const std::string& line : lines_of(result.output)) {
    const std::size_t first = line.find('\t'), second = line.find('\t', first + 1);
    const std::string kind = line.substr(0, first), name = line.substr(first + 1, second - first - 1);
    const std::string rest = second == std::string::npos ? "" : line.substr(second + 1);
    if (kind == "missing")
      fail_config(
          "task.packages: {} has no package '{}': install it for this python3 (pip install {}), or name the "
          "folder that holds it in PYTHONPATH",
          python.string(), name, name);
    if (kind == "package") interpreter.offers += fmt::format(", {} {}", name, rest);
    if (kind == "part" && !lies_below(name, system_folders())) interpreter.parts.push_back(name);
    if (kind == "module") interpreter.modules.push_back(fmt::format("{}={}", name, rest));
  }
}

}  // namespace

Interpreter find_interpreter(const std::vector<std::string>& packages) {
  const auto python = find_program("python3");
  if (!python) {
    fail_config(
        "code tasks run Python programs, and python3 was found neither in /usr/bin nor in PATH: install it "
        "(Debian/Ubuntu: apt-get install python3; on a cluster: ask for the module)");
  }
  const ChildResult result = run_child({.command = {*python, "-S", "-s", "-B", "-c", layout_query},
                                        .environment = inherited_environment(),
                                        .output_bytes = 1'000'000});
  const auto lines = lines_of(result.output);
  if (result.status != 0 || lines.size() < 3) {
    fail_config("{}: does not run as code tasks need it: {}", python->string(), result.error);
  }
  Interpreter interpreter{.executable = lines[0]};
  const auto system = system_folders();
  std::set<std::string> parts, library_folders;
  bool is_data = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i == 1) {
      interpreter.offers = fmt::format("the standard library of Python {}", lines[i]);
    } else if (lines[i] == "data") {
      is_data = true;
    } else if (!lines[i].empty() && !lies_below(lines[i], system)) {
      parts.insert(lines[i]);
      if (i >= 3 && !is_data) library_folders.insert(fs::path(lines[i]).parent_path());
    }
  }
  interpreter.parts.assign(parts.begin(), parts.end());
  for (const auto& folder : library_folders) interpreter.library_path += folder + ":";
  if (!packages.empty()) add_packages(*python, packages, interpreter);
  return interpreter;
}

std::vector<std::string> driver_command(const Interpreter& interpreter, const SandboxLimits& limits) {
  std::vector<std::string> command{interpreter.executable, "-S", "-s", "-B", "-X", "utf8", "-c", driver};
  command.push_back(fmt::format("CPU={:.0f}", std::ceil(limits.cpu_seconds)));
  command.push_back(fmt::format("AS={}", limits.memory_bytes));
  command.push_back(fmt::format("FSIZE={}", limits.file_bytes));
  for (const std::string& module : interpreter.modules) command.push_back("+" + module);
  return command;
}

std::vector<std::string> driver_environment(const Interpreter& interpreter, const std::string& scratch) {
  // PYTHONHASHSEED makes the order of sets, hence the verdict, the same each time; -I would ignore it.
  std::vector<std::string> environment{"PATH=/usr/bin", "PYTHONHASHSEED=0", "TMPDIR=" + scratch};
  // Each thread of a library of linear algebra would take memory of its own.
  if (!interpreter.modules.empty())
    environment.insert(environment.end(),
                       {"OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1"});
  if (!interpreter.library_path.empty()) environment.push_back("LD_LIBRARY_PATH=" + interpreter.library_path);
  return environment;
}

}  // namespace rocket
