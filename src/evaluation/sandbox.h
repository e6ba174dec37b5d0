// Runs a model's Python program against its tests: own process, no network, no host files, CPU, memory, file
// and time limits (bubblewrap's namespaces, rlimits, a system call filter).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rocket {

struct SandboxLimits {
  double cpu_seconds =
      5;  // whole seconds, rounded up; what decides about a busy program, however loaded the node is
  double wall_seconds = 15;                 // from the program's start; what ends a sleeping one
  std::int64_t memory_bytes = 400'000'000;  // address space
  std::int64_t file_bytes = 1'000'000;      // each file; 4 MB for all of /tmp
};

struct ProgramWithTests {
  std::string program;
  std::vector<std::string> tests;  // Python statements

  bool operator==(const ProgramWithTests&) const = default;
};

/// Throws config (78) if there is no python3 or no way to isolate it, saying what to install. Costs one trial
/// program, once per process; to be called before work is spent on a `code` task.
void require_sandbox();

/// For each: true iff all tests run after the program in one interpreter. As many run at once as the process
/// may use processors; equal entries run once. A program that ends the interpreter early has not passed. What
/// this does not stop: a program that sets out to deceive its own tests, with whom it shares the interpreter.
/// Throws as require_sandbox() does.
std::vector<bool> pass_tests(std::span<const ProgramWithTests> programs, const SandboxLimits& limits = {});

/// One program.
bool passes_tests(const std::string& program, const std::vector<std::string>& tests,
                  const SandboxLimits& limits = {});

}  // namespace rocket
