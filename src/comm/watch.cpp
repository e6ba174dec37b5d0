#include "comm/watch.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/activity.h"
#include "base/error.h"
#include "base/stop.h"

namespace rocket {
namespace {

constexpr int kTag = 32;  // of no other message of the program
constexpr int kTurnsOfSilence = 8;

/// A sign of life.
struct Sign {
  std::uint64_t watch = 0;  // which one: signs of an earlier one may still be on their way
  std::uint64_t activity = 0;
  bool waits = false, leaves = false;
  bool asks_to_stop = false;  // a watcher's: the job is about to end
};

/// What a watcher knows of a rank. Times are turns of the watcher.
struct Seen {
  std::uint64_t activity = 0;
  std::int64_t heard = 0, changed = 0;
  bool waits = false, left = false;
};

std::string host_name() {
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  return host;
}

std::uint64_t shared_number(Comm& comm) {
  std::uint64_t number = std::random_device()();
  comm.broadcast(std::as_writable_bytes(std::span(&number, 1)), 0);
  return number;
}

double seconds(std::chrono::milliseconds time) {
  return static_cast<double>(time.count()) / 1000;
}

}  // namespace

WatchLimits WatchLimits::of_hang_limit(std::int64_t seconds) {
  WatchLimits limits;
  limits.standstill = std::chrono::seconds(seconds);
  limits.silence = std::min(limits.silence, limits.standstill);
  return limits;
}

class Watch::Thread {
 public:
  Thread(Comm& comm, const WatchLimits& limits)
      : comm_(comm),
        limits_(limits),
        period_(std::max(limits.silence / kTurnsOfSilence, std::chrono::milliseconds(1))),
        sign_{shared_number(comm)},
        hosts_(comm.gather_all(host_name())),
        seen_(static_cast<std::size_t>(comm.size())),
        thread_([this] { run(); }) {}

  ~Thread() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

 private:
  // The last rank is more likely than the second to be on another node than rank 0.
  int watcher_of_root() const { return comm_.size() - 1; }
  bool is_watcher() const { return comm_.is_root() || comm_.rank() == watcher_of_root(); }

  void run() {
    for (bool ends = false; !ends; ++turn_) {
      std::unique_lock lock(mutex_);
      ends = wake_.wait_for(lock, period_, [&] { return ends_; });
      lock.unlock();
      tell(ends);
      listen();
      if (is_watcher() && !ends) look();
    }
  }

  void tell(bool leaves) {
    sign_.activity = activity;
    sign_.waits = comm_.is_waiting();
    sign_.leaves = leaves;
    for (const int watcher : {0, watcher_of_root()}) {
      if (watcher != comm_.rank()) comm_.send(watcher, kTag, message(sign_));
    }
  }

  static std::string message(const Sign& sign) { return {reinterpret_cast<const char*>(&sign), sizeof sign}; }

  void listen() {
    while (const auto message = comm_.try_receive(kTag)) {
      Sign sign;
      if (message->body.size() != sizeof sign) continue;
      std::memcpy(&sign, message->body.data(), sizeof sign);
      if (sign.watch != sign_.watch) continue;
      if (sign.asks_to_stop) request_stop();
      note(message->from, sign);
    }
    note(comm_.rank(), sign_);
  }

  void note(int rank, const Sign& sign) {
    Seen& seen = seen_[static_cast<std::size_t>(rank)];
    const bool changed = seen.activity != sign.activity;
    if (changed) last_change_ = turn_;
    seen = {sign.activity, turn_, changed ? turn_ : seen.changed, sign.waits, sign.leaves};
  }

  bool silent(int rank) const {
    const Seen& seen = seen_[static_cast<std::size_t>(rank)];
    return !seen.left && turn_ - seen.heard > kTurnsOfSilence;
  }

  void look() {
    if (asked_to_stop_ > 0) return end_when_settled();
    for (int rank = 0; rank < comm_.size(); ++rank) {
      const bool watched = comm_.is_root() || rank == 0;
      if (watched && silent(rank)) return ask_to_stop(rank);
    }
    const auto limit =
        stop_requested() ? std::min(limits_.standstill, 2 * limits_.silence) : limits_.standstill;
    if (comm_.is_root() && (turn_ - last_change_) * period_ > limit) {
      say(standstill(limit));
      end_job();
    }
  }

  void ask_to_stop(int silent_rank) {
    say(fmt::format("rank {} on {} has given no sign of life for {} s", silent_rank,
                    hosts_[static_cast<std::size_t>(silent_rank)], seconds(limits_.silence)));
    asked_to_stop_ = turn_;
    request_stop();
    Sign sign = sign_;
    sign.asks_to_stop = true;
    for (int rank = 0; rank < comm_.size(); ++rank) {
      if (rank != comm_.rank()) comm_.send(rank, kTag, message(sign));
    }
  }

  /// Nobody who lives has anything in hand that could still be committed.
  void end_when_settled() {
    for (int rank = 0; rank < comm_.size(); ++rank) {
      const Seen& seen = seen_[static_cast<std::size_t>(rank)];
      if (seen.left || silent(rank)) continue;
      const bool waits = seen.waits && seen.heard > asked_to_stop_ + 1;
      if (!waits && turn_ - seen.changed <= kTurnsOfSilence) return;
    }
    end_job();
  }

  std::string standstill(std::chrono::milliseconds limit) const {
    std::string busy;
    bool some_wait = false;
    for (std::size_t rank = 0; rank < seen_.size(); ++rank) {
      const Seen& seen = seen_[rank];
      if (seen.left) continue;
      some_wait = some_wait || seen.waits;
      if (!seen.waits) busy += fmt::format("{}rank {} on {}", busy.empty() ? "" : ", ", rank, hosts_[rank]);
    }
    if (busy.empty() || !some_wait)
      return fmt::format("no rank has got any further for {} s", seconds(limit));
    return fmt::format("nothing has got any further for {} s: the others wait for {}", seconds(limit), busy);
  }

  static void say(const std::string& reason) {
    std::fprintf(
        stderr,
        "rocket: %s. The others commit what they have, then the job ends; the same command goes on from "
        "there\n",
        reason.c_str());
  }

  void end_job() { comm_.abort(static_cast<int>(ExitCode::internal)); }

  Comm& comm_;
  const WatchLimits limits_;
  const std::chrono::milliseconds period_;
  Sign sign_;
  const std::vector<std::string> hosts_;  // by rank
  std::vector<Seen> seen_;
  std::int64_t turn_ = 1, last_change_ = 1;
  std::int64_t asked_to_stop_ = 0;  // turn; 0: not yet
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::thread thread_;  // the last member: it uses all others
};

Watch::Watch(Comm& comm, const WatchLimits& limits) {
  if (comm.size() > 1) thread_ = std::make_unique<Thread>(comm, limits);
}

Watch::~Watch() = default;

}  // namespace rocket
