// Nobody waits for ever for a rank that is stopped, cut off or stuck.
#pragma once

#include <chrono>
#include <memory>

#include "comm/comm.h"

namespace rocket {

struct WatchLimits {
  std::chrono::milliseconds silence{60'000};        // a rank that lives says so eight times as often
  std::chrono::milliseconds standstill{1'800'000};  // in which some rank must have made progress
};

/// While it lives, every rank sends signs of life from a thread of its own. Rank 0 watches all others, rank 1
/// watches rank 0. A rank that gives none for `silence` ends the job, with exit code 70 and a line on stderr
/// that names it and its host. So does a standstill: all wait for the ranks whose count of progress is
/// lowest, which the line names. Time is counted in turns of the watcher's own thread, so that a watcher
/// which was stopped itself accuses nobody.
class Watch {
 public:
  /// Collective. With one rank it does nothing.
  Watch(Comm& comm, const WatchLimits& limits);
  /// Local: this rank takes its leave, and is watched no more.
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Local: this rank has got further. To be called on either side of what ranks do together, so that counts
  /// tell who has come there and who has not.
  void progress();

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace rocket
