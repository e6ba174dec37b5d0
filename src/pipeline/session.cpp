#include "pipeline/session.h"

#include <fmt/format.h>

namespace rocket {
namespace {

/// As one word of a shell's command line.
std::string shell_word(const std::string& text) {
  const std::string plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,@%+-";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace

std::string Session::command(const std::string& job) const {
  if (point) return fmt::format("rocket sweep {} run --point {}", shell_word(config_file), *point);
  std::string line = fmt::format("rocket {} {}", job, shell_word(config_file));
  for (const std::string& setting : settings) line += fmt::format(" --set {}", shell_word(setting));
  return line;
}

}  // namespace rocket
