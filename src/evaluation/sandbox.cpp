#include "evaluation/sandbox.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "evaluation/child_process.h"
#include "evaluation/syscall_filter.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

// Runs inside. Its input: a marker, the program and the tests, apart by zero bytes. It closes what it
// inherited, limits itself, says "+", and says the marker only when the last test has run; whatever the
// program prints goes nowhere.
constexpr const char* driver = R"(
import os, resource, sys, types
def main(cpu, memory, file):
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    marker, *sources = sys.stdin.buffer.read().decode().split("\0")
    report, null = os.dup(1), os.open("/dev/null", os.O_RDWR)
    for fd in 0, 1, 2:
        os.dup2(null, fd)
    limits = {"CPU": cpu, "AS": memory, "FSIZE": file, "CORE": 0, "NOFILE": 64}
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = ["program.py"]
    os.write(report, b"+")
    for source in sources:
        exec(compile(source, "program.py", "exec", dont_inherit=True), module.__dict__)
    os.write(report, marker.encode())
    os._exit(0)
main(*map(int, sys.argv[1:]))
)";

// What an interpreter is made of: its file, its library, and every shared object that it maps.
constexpr const char* layout_query = R"(
import os, resource, sys, types
print(os.path.realpath(sys.executable))
print(os.path.dirname(os.path.realpath(os.__file__)))
for line in open("/proc/self/maps"):
    path = line.split(None, 5)[-1].strip()
    if path.startswith("/") and ".so" in path:
        print(os.path.realpath(path))
)";

/// bwrap and all of its arguments up to the interpreter's own.
struct Sandbox {
  std::vector<std::string> command, environment;
};

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

fs::path require_program(const std::string& name, const std::string& package) {
  auto program = find_program(name);
  if (!program) {
    fail_config(
        "code tasks run Python programs in a sandbox, and '{}' was found neither in /usr/bin nor in PATH: "
        "install {} "
        "(Debian/Ubuntu: apt-get install {}; on a cluster: ask for the module)",
        name, package, package);
  }
  return *program;
}

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

struct Interpreter {
  std::string executable;
  std::set<std::string> parts;  // files and folders outside the system's library folders
  std::string library_path;     // folders of shared objects among them, as LD_LIBRARY_PATH
};

Interpreter examine(const fs::path& python, const std::vector<std::string>& system_folders) {
  const ChildResult result = run_child({.command = {python, "-S", "-s", "-B", "-c", layout_query},
                                        .environment = inherited_environment(),
                                        .output_bytes = 1'000'000});
  const auto lines = lines_of(result.output);
  if (result.status != 0 || lines.size() < 2) {
    fail_config("{}: does not run: {}", python.string(), result.error);
  }
  Interpreter interpreter{.executable = lines[0]};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lies_below(lines[i], system_folders)) continue;
    const bool added = interpreter.parts.insert(lines[i]).second;
    if (i >= 2 && added) interpreter.library_path += fs::path(lines[i]).parent_path().string() + ":";
  }
  return interpreter;
}

void append(std::vector<std::string>& to, std::initializer_list<std::string> what) {
  to.insert(to.end(), what);
}

/// The system's library folders as they are: real folders read-only, links as links.
std::vector<std::string> bind_system(std::vector<std::string>& command) {
  std::vector<std::string> folders;
  for (const std::string folder : {"/usr/lib", "/usr/lib64", "/lib", "/lib64"}) {
    if (fs::is_symlink(folder)) {
      append(command, {"--symlink", fs::read_symlink(folder).string(), folder});
    } else if (fs::is_directory(folder)) {
      append(command, {"--ro-bind", folder, folder});
      folders.push_back(folder);
    }
  }
  return folders;
}

/// Without a bound on its size /tmp could fill the node's memory: bubblewrap before 0.7 gets none.
void add_writable_folder(std::vector<std::string>& command, const fs::path& bwrap) {
  const auto help = run_child({.command = {bwrap, "--help"}});
  const bool sized = (help.output + help.error).find("--size ") != std::string::npos;
  if (sized) {
    append(command, {"--size", "4000000", "--tmpfs", "/tmp"});
  } else {
    append(command, {"--dir", "/tmp"});
  }
}

Sandbox make_sandbox() {
  const fs::path bwrap = require_program("bwrap", "bubblewrap");
  const fs::path python = require_program("python3", "python3");
  Sandbox sandbox;
  auto& command = sandbox.command;
  command = {bwrap,        "--unshare-all", "--die-with-parent", "--new-session",
             "--cap-drop", "ALL",           "--hostname",        "sandbox"};
  const auto system_folders = bind_system(command);
  const Interpreter interpreter = examine(python, system_folders);
  for (const auto& part : interpreter.parts) append(command, {"--ro-bind", part, part});
  for (const std::string device : {"/dev/null", "/dev/zero", "/dev/urandom"}) {
    append(command, {"--dev-bind", device, device});
  }
  add_writable_folder(command, bwrap);
  // PYTHONHASHSEED makes the order of sets, hence the verdict, the same each time; -I would ignore it.
  append(command, {"--chdir", "/tmp", "--remount-ro", "/", "--seccomp", "3", "--", interpreter.executable,
                   "-S", "-s", "-B", "-X", "utf8", "-c", driver});
  sandbox.environment = {"PATH=/usr/bin", "PYTHONHASHSEED=0"};
  if (!interpreter.library_path.empty()) {
    sandbox.environment.push_back("LD_LIBRARY_PATH=" + interpreter.library_path);
  }
  return sandbox;
}

std::string random_marker() {
  std::random_device device;
  std::string marker;
  for (int i = 0; i < 4; ++i) marker += fmt::format("{:08x}", device());
  return marker;
}

bool run_in(const Sandbox& sandbox, const ProgramWithTests& job, const SandboxLimits& limits) {
  const std::string marker = random_marker();
  std::string input = marker + '\0' + job.program;
  for (const auto& test : job.tests) input += '\0' + test;
  const auto parts = static_cast<std::size_t>(std::count(input.begin(), input.end(), '\0'));
  if (parts != job.tests.size() + 1) return false;  // Python source holds no zero byte
  auto command = sandbox.command;
  append(command, {fmt::format("{:.0f}", std::ceil(limits.cpu_seconds)), std::to_string(limits.memory_bytes),
                   std::to_string(limits.file_bytes)});
  const ChildResult result = run_child({.command = command,
                                        .environment = sandbox.environment,
                                        .input = input,
                                        .extra = syscall_filter(),
                                        .wall_seconds = limits.wall_seconds,
                                        .output_bytes = marker.size() + 1});
  if (result.output.empty()) {
    fail_config("the sandbox for Python programs does not start (status {}): {}", result.status,
                result.error.empty() ? "no message" : result.error);
  }
  return result.status == 0 && result.output == "+" + marker;
}

/// Made and tried out once in the life of the process.
const Sandbox& the_sandbox() {
  static const Sandbox sandbox = [] {
    const Sandbox made = make_sandbox();
    bool works = false;
    try {
      works = run_in(made, {"import math, re, collections\nx = 1", {"assert x == 1"}}, {});
    } catch (const Error& e) {
      fail_config(
          "{}. Code tasks need bubblewrap with user namespaces (sysctl user.max_user_namespaces > 0, "
          "kernel.unprivileged_userns_clone = 1 where it exists), or a bwrap that is installed setuid root: "
          "ask the "
          "administrator. Model programs are not run without isolation",
          e.what());
    }
    if (!works) fail_config("{}: a trial program fails in the sandbox", made.command[0]);
    return made;
  }();
  return sandbox;
}

std::string key_of(const ProgramWithTests& job) {
  Hasher hasher;
  hasher.add(job.program);
  for (const auto& test : job.tests) hasher.add(test);
  return hasher.hex();
}

/// Calls f(0..n-1) from as many threads as the process may use processors; the first exception is thrown
/// here.
template <class F>
void for_all_at_once(std::size_t n, const F& f) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (std::size_t i = next++; i < n; i = next++) {
      try {
        f(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = n;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    const auto most = std::max<std::size_t>(1, std::thread::hardware_concurrency());
    for (std::size_t t = 0; t < std::min(most, n); ++t) threads.emplace_back(work);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void require_sandbox() {
  the_sandbox();
}

std::vector<bool> pass_tests(std::span<const ProgramWithTests> programs, const SandboxLimits& limits) {
  if (programs.empty()) return {};
  const Sandbox& sandbox = the_sandbox();
  std::unordered_map<std::string, std::size_t> places;
  std::vector<std::size_t> distinct, place_of;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const auto [found, is_new] = places.try_emplace(key_of(programs[i]), distinct.size());
    if (is_new) distinct.push_back(i);
    place_of.push_back(found->second);
  }
  std::vector<char> passed(distinct.size());  // not vector<bool>: written by several threads
  for_all_at_once(distinct.size(),
                  [&](std::size_t d) { passed[d] = run_in(sandbox, programs[distinct[d]], limits); });
  std::vector<bool> result;
  for (const std::size_t place : place_of) result.push_back(passed[place]);
  return result;
}

bool passes_tests(const std::string& program, const std::vector<std::string>& tests,
                  const SandboxLimits& limits) {
  const ProgramWithTests job{program, tests};
  return pass_tests({&job, 1}, limits)[0];
}

}  // namespace rocket
