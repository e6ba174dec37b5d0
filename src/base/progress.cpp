#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/activity.h"
#include "base/log.h"

namespace rocket {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBarWidth = 24;
constexpr auto kTerminalPause = std::chrono::milliseconds(100);
constexpr auto kLogPause = std::chrono::seconds(10);

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

// A line that wraps cannot be rewritten in place.
std::string cut_to_terminal(const std::string& line) {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? line.substr(0, size.ws_col - 1u) : line;
}

std::string clock_time(double seconds) {
  const auto s = static_cast<std::int64_t>(std::min(seconds + 0.5, 1e15));
  if (s >= 3600) {
    return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  }
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

// Slow work reads better as time per unit.
std::string rate_text(double per_second, const std::string& unit) {
  if (per_second >= 1) {
    return fmt::format("{:.{}f} {}/s", per_second, per_second < 100 ? 1 : 0, unit);
  }
  return fmt::format("{:.1f} {}/min", 60 * per_second, unit);
}

}  // namespace

std::string progress_line(const std::string& what, const std::string& unit, std::int64_t done,
                          std::int64_t total, std::int64_t done_here, double seconds, const std::string& note,
                          int width) {
  const double share =
      total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 1.0;
  std::string line = fmt::format("{} {:3.0f}%", what, 100 * share);
  if (width > 0) {
    const int filled = static_cast<int>(share * width);
    line += fmt::format(" [{}{}]", std::string(filled, '#'), std::string(width - filled, '.'));
  }
  line += fmt::format(" {}/{} {}", done, total, unit);
  if (done_here > 0 && seconds > 0) {
    const double per_second = static_cast<double>(done_here) / seconds;
    line += fmt::format(", {}", rate_text(per_second, unit));
    line += done < total
                ? fmt::format(", {} left", clock_time(static_cast<double>(total - done) / per_second))
                : fmt::format(", took {}", clock_time(seconds));
  }
  return note.empty() ? line : line + ", " + note;
}

Progress::Progress(std::string what, std::string unit, std::int64_t total, std::int64_t already_done)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      done_(already_done),
      start_done_(already_done),
      start_(Clock::now()),
      shown_(start_),
      visible_(log::shows(log::Level::normal)),
      terminal_(stderr_is_terminal()) {
  if (visible_ && terminal_) {
    show("");
  }
}

Progress::~Progress() {
  if (visible_ && terminal_) {
    log::end_status(done_ >= total_);
  }
}

void Progress::advance(std::int64_t n, const std::string& note) {
  done_ += n;
  note_activity();
  if (!visible_) {
    return;
  }
  const auto since = Clock::now() - shown_;
  const bool due = terminal_ ? since >= kTerminalPause || done_ >= total_ : since >= kLogPause;
  if (due) {
    show(note);
  }
}

void Progress::show(const std::string& note) {
  shown_ = Clock::now();
  const double seconds = std::chrono::duration<double>(shown_ - start_).count();
  const std::string line = progress_line(what_, unit_, done_, total_, done_ - start_done_, seconds, note,
                                         terminal_ ? kBarWidth : 0);
  if (terminal_) {
    log::show_status(cut_to_terminal(line));
  } else {
    log::write_line(log::Level::normal, line);
  }
}

}  // namespace rocket
