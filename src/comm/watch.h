// Nobody waits for ever for a rank that is stopped, cut off or stuck.
#pragma once

#include <chrono>
#include <memory>

#include "comm/comm.h"

namespace rocket {

struct WatchLimits {
  std::chrono::milliseconds silence{60'000};        // a rank that lives says so eight times as often
  std::chrono::milliseconds standstill{1'800'000};  // in which some rank must have noted activity

  /// `seconds` for the standstill; ranks need not be silent for longer than that.
  static WatchLimits of_hang_limit(std::int64_t seconds);
};

/// While it lives, every rank sends signs of life from a thread of its own. Rank 0 watches all others, the
/// last rank watches rank 0.
///
/// Silence: a rank that gives no sign is named on stderr with its host. The other ranks are asked to stop, as
/// by a signal: they commit what they have in hand. When each of them waits for others, or has itself not got
/// further for `silence`, the job ends with exit code 70.
///
/// Standstill: no rank has called note_activity() (base/activity.h) for so long, or for twice `silence` where
/// a stop was requested. The job ends with 70; the line on stderr names the ranks that do not wait for
/// others.
///
/// Time is counted in turns of the watcher's own thread, so that a watcher which was stopped itself accuses
/// nobody.
class Watch {
 public:
  /// Collective. With one rank it does nothing.
  Watch(Comm& comm, const WatchLimits& limits);
  /// Local: this rank takes its leave, and is watched no more.
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace rocket
