// One child process with its input given, its output collected and its end enforced.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

struct ChildProcess {
  std::vector<std::string> command;      // command[0]: path of the program
  std::vector<std::string> environment;  // "NAME=value"; all that the child gets
  std::string_view input;                // what it reads from descriptor 0
  std::string_view extra;                // what it reads from descriptor 3
  double start_seconds = 60;             // until its first byte of output
  double wall_seconds = 60;              // from then on
  std::size_t output_bytes = 65536;      // more than this ends it
};

struct ChildResult {
  int status = 0;  // exit code, or 128 + signal
  std::string output, error;
};

/// Runs the child in a process group of its own; past a limit the whole group is killed. Safe to call from
/// several threads at once. Throws config (78) if the program cannot be started.
ChildResult run_child(const ChildProcess& child);

}  // namespace rocket
