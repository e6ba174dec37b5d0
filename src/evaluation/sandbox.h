// Runs a model's Python program against its tests: no network, no host files, no other processes, CPU,
// memory, file and time limits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rocket {

struct SandboxLimits {
  double cpu_seconds =
      5;  // whole seconds, rounded up; what decides about a busy program, however loaded the node is
  double wall_seconds = 15;                 // from the program's start; what ends a sleeping one
  std::int64_t memory_bytes = 400'000'000;  // address space
  std::int64_t file_bytes = 1'000'000;      // each file; 4 MB for all of them
};

struct ProgramWithTests {
  std::string program;
  std::vector<std::string> tests;  // Python statements

  bool operator==(const ProgramWithTests&) const = default;
};

class Isolation;
struct Interpreter;

/// A way of isolating programs that works on this machine. A program may write to its working folder (TMPDIR,
/// too), which is its own and empty at the start, and to nothing else.
class Sandbox {
 public:
  /// The first of the two that works here. Tried out once in the life of the process
  /// for each list of packages. Throws config (78) if
  /// there is no python3, or neither works, with both reasons and what to do.
  /// `packages`: as find_interpreter has them.
  static const Sandbox& usable(const std::vector<std::string>& packages = {});

  /// With bubblewrap's namespaces; with Landlock, seccomp and limits. Each runs a trial program, and throws
  /// config (78) with the reason where the machine does not have it.
  static Sandbox with_namespaces(const std::vector<std::string>& packages = {});
  static Sandbox with_landlock(const std::vector<std::string>& packages = {});

  /// How programs are isolated; why not by namespaces.
  const std::string& description() const { return description_; }
  /// What programs may import, with versions.
  const std::string& offers() const;

  /// For each: true iff all tests run after the program in one interpreter. As many run at once as the
  /// process may use processors; equal entries run once. A program that ends the interpreter early has not
  /// passed. What this does not stop: a program that sets out to deceive its own tests, with whom it shares
  /// the interpreter. Throws config (78) where the sandbox no longer starts.
  std::vector<bool> pass_tests(std::span<const ProgramWithTests> programs,
                               const SandboxLimits& limits = {}) const;

  /// One program.
  bool passes_tests(const std::string& program, const std::vector<std::string>& tests,
                    const SandboxLimits& limits = {}) const;

 private:
  Sandbox(std::unique_ptr<Isolation> isolation, const std::vector<std::string>& packages);
  bool run(const ProgramWithTests& job, const SandboxLimits& limits) const;

  std::shared_ptr<const Isolation> isolation_;
  std::shared_ptr<const Interpreter> interpreter_;
  std::string description_;
};

/// How programs are isolated and what they may import, for people.
std::string described(const Sandbox& sandbox);

}  // namespace rocket
