// Errors that end a job: one flat message, outside in, and the exit code that goes with it.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace rocket {

/// What the process returns. The values are part of the interface (sysexits.h where one exists).
enum class ExitCode : int {
  done = 0,
  usage = 64,     // the command line
  data = 65,      // contents of an input file
  internal = 70,  // our bug
  storage = 74,   // writing, disk full, permissions
  stopped = 75,   // stopped after a good checkpoint: requeue
  config = 78,    // the configuration or a path in it
};

/// The only exception that rocket throws on purpose. `what()` is the whole message for the user:
/// "adapter 'home': adapter_model.safetensors: tensor 'x': expected [16, 64], got [8, 64]".
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message, bool agreed = false)
      : std::runtime_error(message), code_(code), agreed_(agreed) {}
  ExitCode code() const { return code_; }
  /// True if every rank has thrown this very error at the same place, so that all may leave in good order.
  bool agreed() const { return agreed_; }

 private:
  ExitCode code_;
  bool agreed_;
};

template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void fail_data(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ExitCode::data, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void fail_config(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ExitCode::config, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void fail_storage(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ExitCode::storage, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void fail_internal(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ExitCode::internal, fmt::format(format, std::forward<Args>(args)...));
}

/// Runs `f`; an Error thrown inside gets "context: " in front of its message.
template <class F>
decltype(auto) in_context(std::string_view context, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("{}: {}", context, e.what()), e.agreed());
  }
}

}  // namespace rocket
