// The program's voice: plain lines on stderr, from one rank only.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace rocket::log {

enum class Level { quiet, normal, verbose };

/// Only the rank that speaks prints; errors of any rank end in the Error that ends the job.
void configure(Level level, bool speaks);

void write_line(Level at_least, std::string_view line);

/// Shown unless --quiet.
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write_line(Level::normal, fmt::format(format, std::forward<Args>(args)...));
}

/// Shown with --verbose only.
template <class... Args>
void detail(fmt::format_string<Args...> format, Args&&... args) {
  write_line(Level::verbose, fmt::format(format, std::forward<Args>(args)...));
}

/// Always shown, with "warning: " in front.
void write_warning(std::string_view line);

template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write_warning(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace rocket::log
