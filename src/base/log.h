// The program's voice: plain lines on stderr, from one rank only.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace rocket::log {

enum class Level { quiet, normal, verbose };

/// Only the rank that speaks prints; errors of any rank end in the Error that ends the job.
void configure(Level level, bool speaks);

/// True if lines of this level are shown by this process.
bool shows(Level at_least);

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

/// Shown by the rank that speaks, --quiet or not, with "warning: " in front.
void write_warning(std::string_view line);

template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write_warning(fmt::format(format, std::forward<Args>(args)...));
}

/// The last line of a terminal, rewritten in place; lines of the log appear above it. For Progress.
void show_status(std::string_view line);
/// Leaves the status line standing if `keep`, else wipes it.
void end_status(bool keep);

}  // namespace rocket::log
