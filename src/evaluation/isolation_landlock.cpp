#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/log.h"
#include "evaluation/isolation.h"
#include "evaluation/landlock.h"
#include "evaluation/syscall_filter.h"

namespace rocket {
namespace {

/// A new folder, removed with all that a program left in it.
class Scratch {
 public:
  Scratch() {
    std::error_code error;
    std::string name = fs::temp_directory_path(error) / "rocket-sandbox-XXXXXX";
    if (error) fail_config("no folder for temporary files (TMPDIR, or /tmp): {}", error.message());
    if (!mkdtemp(name.data())) fail_config("{}: cannot be made: {}", name, std::strerror(errno));
    path_ = name;
  }
  ~Scratch() {
    std::error_code error;
    fs::remove_all(path_, error);
    if (error) {
      open_folders();
      fs::remove_all(path_, error);
    }
    if (error) log::warn("{}: cannot be removed ({}); remove it by hand", path_.string(), error.message());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const fs::path& path() const { return path_; }

  /// Counts blocks of 4 KB, as a file system in memory does, and a little for each name. A folder that cannot
  /// be read is no honest use.
  bool is_full() const {
    constexpr std::int64_t block = 4096, name = 1024;
    std::int64_t used = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator at(path_, error), end; !error && at != end; at.increment(error)) {
      std::error_code vanished;
      const bool is_file = at->symlink_status(vanished).type() == fs::file_type::regular;
      const auto size = is_file ? at->file_size(vanished) : 0;
      if (!vanished) used += name + (static_cast<std::int64_t>(size) + block - 1) / block * block;
      if (used > scratch_bytes) return true;
    }
    return error && error != std::errc::no_such_file_or_directory;
  }

 private:
  /// For a program that closed its own folders.
  void open_folders() const {
    std::error_code error, vanished;
    for (fs::recursive_directory_iterator at(path_, error), end; !error && at != end; at.increment(error)) {
      if (at->symlink_status(vanished).type() == fs::file_type::directory)
        fs::permissions(at->path(), fs::perms::owner_all, vanished);  // before it is entered
    }
  }

  fs::path path_;
};

/// Memory does not limit them: a thread needs hardly any. The kernel's own limit counts all of a user's
/// together.
bool has_many_threads(pid_t pid) {
  constexpr nlink_t most = 500, of_the_folder = 2;
  struct stat tasks {};
  const std::string folder = fmt::format("/proc/{}/task", pid);
  return stat(folder.c_str(), &tasks) == 0 && tasks.st_nlink > most + of_the_folder;
}

class Landlock : public Isolation {
 public:
  std::string name() const override { return "Landlock, seccomp and limits"; }

  ChildResult run(const Interpreter& interpreter, std::string_view input, std::size_t output_bytes,
                  const SandboxLimits& limits) const override {
    const Scratch scratch;
    LandlockRules rules;
    for (const auto& folder : system_folders()) rules.allow_reading(folder);
    for (const auto& part : interpreter.parts) rules.allow_reading(part);
    for (const char* device : {"/dev/null", "/dev/zero", "/dev/urandom"}) rules.allow_device(device);
    rules.allow_changing(scratch.path());
    const Confinement confinement{rules.descriptor(), syscall_filter(), scratch.path().c_str()};
    return run_child(
        {.command = driver_command(interpreter, limits),
         .environment = driver_environment(interpreter, scratch.path()),
         .input = input,
         .wall_seconds = limits.wall_seconds,
         .output_bytes = output_bytes,
         .confinement = &confinement,
         .within_limits = [&](pid_t pid) { return !scratch.is_full() && !has_many_threads(pid); }});
  }
};

}  // namespace

std::unique_ptr<Isolation> landlock() {
  return std::make_unique<Landlock>();
}

}  // namespace rocket
