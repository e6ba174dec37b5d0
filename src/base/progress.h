// Progress of a job: a bar with rate and time left on a terminal, else one plain line at most every ten
// seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace rocket {

class Progress {
 public:
  /// `what` is shown in front ("score"), `unit` names what is counted ("units"). Shows nothing with --quiet
  /// and on ranks that do not speak.
  Progress(std::string what, std::string unit, std::int64_t total, std::int64_t already_done);
  /// Ends the bar: it stays if all is done, else it is wiped.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `note` follows the figures ("loss 1.234").
  void advance(std::int64_t n = 1, const std::string& note = "");

 private:
  void show(const std::string& note);
  std::string what_, unit_;
  std::int64_t total_, done_, start_done_;
  std::chrono::steady_clock::time_point start_, shown_;
  bool visible_, terminal_;
};

/// "score  45% [#########...........]  450/1000 units  12.3 units/s  0:45 left  note"; a `width` of 0 leaves
/// out the bar.
std::string progress_line(const std::string& what, const std::string& unit, std::int64_t done,
                          std::int64_t total, std::int64_t done_here, double seconds, const std::string& note,
                          int width);

}  // namespace rocket
