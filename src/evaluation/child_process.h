// One child process with its input given, its output collected and its end enforced.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

/// What a child gives up for good before its program starts: capabilities, files, system calls.
struct Confinement {
  int landlock = -1;         // descriptor of LandlockRules
  std::string_view filter;   // syscall_filter(); it must allow execve
  const char* folder = "/";  // the working folder
};

struct ChildProcess {
  std::vector<std::string> command;          // command[0]: path of the program
  std::vector<std::string> environment;      // "NAME=value"; all that the child gets
  std::string_view input;                    // what it reads from descriptor 0
  std::string_view extra;                    // what it reads from descriptor 3
  double start_seconds = 60;                 // until its first byte of output
  double wall_seconds = 60;                  // from then on
  std::size_t output_bytes = 65536;          // more than this ends it
  const Confinement* confinement = nullptr;  // null: none. A confined child also ends with this process
  std::function<bool(pid_t)> within_limits;  // asked every 20 ms and after its end; false ends it
};

struct ChildResult {
  int status = 0;  // exit code, or 128 + signal: 137 where a limit ended it
  std::string output, error;
};

/// Runs the child in a session of its own; past a limit its whole process group is killed. Safe to call from
/// several threads at once. Throws config (78) if the program cannot be started or confined.
ChildResult run_child(const ChildProcess& child);

}  // namespace rocket
