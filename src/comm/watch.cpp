#include "comm/watch.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace rocket {
namespace {

constexpr int kTag = 32;  // of no other message of the program
constexpr int kTurnsOfSilence = 8;
constexpr int kWatcherOfRoot = 1;

/// A sign of life; a host's name follows it.
struct Sign {
  std::uint64_t watch = 0;  // which one: signs of an earlier one may still be on their way
  std::uint64_t progress = 0;
  bool leaves = false;
};

/// What a watcher knows of a rank.
struct Seen {
  std::uint64_t progress = 0;
  std::int64_t turn = 0;  // of the watcher, when it last heard of it
  bool left = false;
  std::string host = "an unknown host";
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

}  // namespace

class Watch::Thread {
 public:
  Thread(Comm& comm, const WatchLimits& limits)
      : comm_(comm),
        limits_(limits),
        period_(std::max(limits.silence / kTurnsOfSilence, std::chrono::milliseconds(1))),
        sign_{shared_number(comm)},
        host_(host_name()),
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

  void progress() { ++progress_; }

 private:
  void run() {
    for (bool ends = false; !ends; ++turn_) {
      std::unique_lock lock(mutex_);
      ends = wake_.wait_for(lock, period_, [&] { return ends_; });
      lock.unlock();
      tell(ends);
      if (comm_.rank() > kWatcherOfRoot) continue;
      listen();
      if (!ends) look();
    }
  }

  void tell(bool leaves) {
    sign_.progress = progress_;
    sign_.leaves = leaves;
    std::string message(reinterpret_cast<const char*>(&sign_), sizeof sign_);
    message += host_;
    for (const int watcher : {0, kWatcherOfRoot}) {
      if (watcher != comm_.rank()) comm_.send(watcher, kTag, message);
    }
  }

  void listen() {
    while (const auto message = comm_.try_receive(kTag)) {
      Sign sign;
      if (message->body.size() < sizeof sign) continue;
      std::memcpy(&sign, message->body.data(), sizeof sign);
      if (sign.watch != sign_.watch) continue;
      Seen& seen = seen_[static_cast<std::size_t>(message->from)];
      if (seen.progress != sign.progress) last_change_ = turn_;
      seen = {sign.progress, turn_, sign.leaves, message->body.substr(sizeof sign)};
    }
    Seen& mine = seen_[static_cast<std::size_t>(comm_.rank())];
    if (mine.progress != progress_) last_change_ = turn_;
    mine = {progress_, turn_, false, host_};
  }

  void look() {
    for (int rank = 0; rank < comm_.size(); ++rank) {
      const Seen& seen = seen_[static_cast<std::size_t>(rank)];
      const bool watched = comm_.is_root() || rank == 0;
      if (watched && !seen.left && turn_ - seen.turn > kTurnsOfSilence)
        end_job(fmt::format("rank {} on {} has given no sign of life for {} s", rank, seen.host,
                            seconds(limits_.silence)));
    }
    if (comm_.is_root() && (turn_ - last_change_) * period_ > limits_.standstill) end_job(standstill());
  }

  std::string standstill() const {
    std::uint64_t least = progress_, most = progress_;
    for (const Seen& seen : seen_) {
      if (seen.left) continue;
      least = std::min(least, seen.progress);
      most = std::max(most, seen.progress);
    }
    if (least == most)
      return fmt::format("no rank has got any further for {} s", seconds(limits_.standstill));
    std::string names;
    for (std::size_t rank = 0; rank < seen_.size(); ++rank) {
      if (!seen_[rank].left && seen_[rank].progress == least)
        names += fmt::format("{}rank {} on {}", names.empty() ? "" : ", ", rank, seen_[rank].host);
    }
    return fmt::format("nothing has got any further for {} s: the others wait for {}",
                       seconds(limits_.standstill), names);
  }

  static double seconds(std::chrono::milliseconds time) { return static_cast<double>(time.count()) / 1000; }

  void end_job(const std::string& reason) {
    std::fprintf(stderr, "rocket: %s. The job is ended; the same command goes on from the last checkpoint\n",
                 reason.c_str());
    comm_.abort(static_cast<int>(ExitCode::internal));
  }

  Comm& comm_;
  const WatchLimits limits_;
  const std::chrono::milliseconds period_;
  Sign sign_;
  const std::string host_;
  std::atomic<std::uint64_t> progress_ = 0;
  std::vector<Seen> seen_;
  std::int64_t turn_ = 0, last_change_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::thread thread_;  // the last member: it uses all others
};

Watch::Watch(Comm& comm, const WatchLimits& limits) {
  if (comm.size() > 1) thread_ = std::make_unique<Thread>(comm, limits);
}

Watch::~Watch() = default;

void Watch::progress() {
  if (thread_) thread_->progress();
}

}  // namespace rocket
