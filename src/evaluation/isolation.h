// Two ways of keeping a model's program apart from the machine, with the same verdicts.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "evaluation/child_process.h"
#include "evaluation/interpreter.h"
#include "evaluation/sandbox.h"

namespace rocket {

constexpr std::int64_t scratch_bytes = 4'000'000;  // all files of a program together

class Isolation {
 public:
  virtual ~Isolation() = default;
  virtual std::string name() const = 0;
  /// Runs the driver on `input`; collects up to `output_bytes`.
  virtual ChildResult run(const Interpreter& interpreter, std::string_view input, std::size_t output_bytes,
                          const SandboxLimits& limits) const = 0;
};

/// bubblewrap: own users, processes, network, and a file system that holds the interpreter and a scratch
/// folder in memory. Throws config (78) if bwrap is not there.
std::unique_ptr<Isolation> namespaces();

/// Landlock, the system call filter and limits, where namespaces are not available. The program is one of the
/// user's processes and sees names, sizes and times of the machine's files and the machine's name, but opens
/// none beyond the interpreter's. Its scratch folder lies in the temporary folder of this process; a program
/// that fills it is ended within 20 ms, where a namespace's is full. Throws config (78) if the kernel has no
/// Landlock.
std::unique_ptr<Isolation> landlock();

}  // namespace rocket
