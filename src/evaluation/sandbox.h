// Runs a model's Python program against its tests: own process, no network, CPU, memory, file and time limits.
#pragma once

#include <string>
#include <vector>

namespace rocket {

struct SandboxLimits {
  double wall_seconds = 5;
  std::int64_t memory_bytes = 400'000'000;
  std::int64_t file_bytes = 1'000'000;
};

/// True iff all `tests` (Python statements) run after `program`. Throws config (78) if there is no python3 or no
/// way to isolate it (bubblewrap, or unprivileged namespaces), saying what to install.
bool passes_tests(const std::string& program, const std::vector<std::string>& tests, const SandboxLimits& limits = {});

}  // namespace rocket
