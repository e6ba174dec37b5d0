// Progress of a job: a bar with rate and time left on a terminal, else one plain line at most every ten seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace rocket {

class Progress {
 public:
  /// `what` is shown in front ("score"), `unit` names what is counted ("units").
  Progress(std::string what, std::string unit, std::int64_t total, std::int64_t already_done);
  ~Progress();
  void advance(std::int64_t n = 1, const std::string& note = "");

 private:
  void show(const std::string& note, bool last);
  std::string what_, unit_;
  std::int64_t total_, done_, start_done_;
  std::chrono::steady_clock::time_point start_, shown_;
  bool terminal_, visible_ = false;
};

}  // namespace rocket
