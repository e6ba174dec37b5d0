#include "base/error.h"
#include "evaluation/isolation.h"
#include "evaluation/syscall_filter.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

void append(std::vector<std::string>& to, const std::vector<std::string>& what) {
  to.insert(to.end(), what.begin(), what.end());
}

class Namespaces : public Isolation {
 public:
  explicit Namespaces(fs::path bwrap) : bwrap_(std::move(bwrap)) {
    const auto help = run_child({.command = {bwrap_, "--help"}});
    sized_ = (help.output + help.error).find("--size ") != std::string::npos;
  }

  std::string name() const override { return "bubblewrap's namespaces"; }

  ChildResult run(const Interpreter& interpreter, std::string_view input, std::size_t output_bytes,
                  const SandboxLimits& limits) const override {
    auto command = isolated(interpreter);
    append(command, driver_command(interpreter, limits));
    return run_child({.command = command,
                      .environment = driver_environment(interpreter, scratch),
                      .input = input,
                      .extra = syscall_filter(),
                      .wall_seconds = limits.wall_seconds,
                      .output_bytes = output_bytes});
  }

 private:
  static constexpr const char* scratch = "/scratch";

  /// bwrap and its arguments up to the program's own.
  std::vector<std::string> isolated(const Interpreter& interpreter) const {
    std::vector<std::string> command{bwrap_,       "--unshare-all", "--die-with-parent", "--new-session",
                                     "--cap-drop", "ALL",           "--hostname",        "sandbox"};
    for (const auto& folder : system_folders()) {
      if (fs::is_symlink(folder)) {
        append(command, {"--symlink", fs::read_symlink(folder).string(), folder});
      } else {
        append(command, {"--ro-bind", folder, folder});
      }
    }
    for (const auto& part : interpreter.parts) append(command, {"--ro-bind", part, part});
    for (const std::string device : {"/dev/null", "/dev/zero", "/dev/urandom"}) {
      append(command, {"--dev-bind", device, device});
    }
    // Without a bound on its size the folder could fill the node's memory: bubblewrap before 0.7 gets none.
    if (sized_) {
      append(command, {"--size", std::to_string(scratch_bytes), "--tmpfs", scratch});
    } else {
      append(command, {"--dir", scratch});
    }
    append(command, {"--chdir", scratch, "--remount-ro", "/", "--seccomp", "3", "--"});
    return command;
  }

  fs::path bwrap_;
  bool sized_ = false;
};

}  // namespace

std::unique_ptr<Isolation> namespaces() {
  const auto bwrap = find_program("bwrap");
  if (!bwrap)
    fail_config(
        "'bwrap' was found neither in /usr/bin nor in PATH: install bubblewrap (Debian/Ubuntu: apt-get "
        "install "
        "bubblewrap; on a cluster: ask for the module)");
  return std::make_unique<Namespaces>(*bwrap);
}

}  // namespace rocket
