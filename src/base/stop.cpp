#include "base/stop.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace rocket {
namespace {

constexpr std::array kSignals = {SIGUSR1, SIGUSR2, SIGHUP, SIGTERM, SIGINT};
constexpr std::int64_t kSameSender = 500'000'000;  // nanoseconds
constexpr std::string_view kEndedAtOnce =
    "rocket: asked to stop a second time: ended at once. What was done since the last checkpoint or finished "
    "unit is lost; the same command goes on from there\n";

std::atomic<bool> requested{false};
std::atomic<bool> second_ends{false};
std::atomic<std::int64_t> first_came{0};  // SIGTERM or SIGINT, nanoseconds since boot; 0: not yet
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free,
              "used in a signal handler");

std::int64_t nanoseconds_now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

void on_signal(int signal) {
  requested = true;
  if (!second_ends || (signal != SIGTERM && signal != SIGINT)) return;
  const std::int64_t now = nanoseconds_now();
  std::int64_t first = 0;
  if (first_came.compare_exchange_strong(first, now) || now - first < kSameSender) return;
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kEndedAtOnce.data(), kEndedAtOnce.size());
  // What is committed stays good, so this too is "requeue me".
  _exit(static_cast<int>(ExitCode::stopped));
}

void block_stop_signals(int how) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : kSignals) sigaddset(&signals, signal);
  pthread_sigmask(how, &signals, nullptr);
}

bool is_ignored(int signal) {
  struct sigaction action = {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void hold_stop_signals() {
  block_stop_signals(SIG_BLOCK);
}

void release_stop_signals() {
  block_stop_signals(SIG_UNBLOCK);
}

void install_stop_signals(SecondSignal second) {
  second_ends = second == SecondSignal::ends_at_once;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : kSignals) {
    if (signal != SIGHUP || !is_ignored(SIGHUP)) sigaction(signal, &action, nullptr);
  }
  release_stop_signals();
}

bool stop_requested() {
  return requested;
}

void request_stop() {
  requested = true;
}

void clear_stop_request() {
  requested = false;
  first_came = 0;
}

}  // namespace rocket
