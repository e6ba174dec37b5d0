#include "base/stop.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "base/error.h"

namespace rocket {
namespace {

std::atomic<bool> requested{false};
std::atomic<bool> signalled{false};
static_assert(std::atomic<bool>::is_always_lock_free, "used in a signal handler");

void on_signal(int) {
  if (signalled.exchange(true)) {
    // What is committed stays good, so this too is "requeue me".
    _exit(static_cast<int>(ExitCode::stopped));
  }
  requested = true;
}

}  // namespace

void install_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int signal : {SIGUSR1, SIGTERM, SIGINT}) {
    sigaction(signal, &action, nullptr);
  }
}

bool stop_requested() {
  return requested;
}

void request_stop() {
  requested = true;
}

void clear_stop_request() {
  requested = false;
  signalled = false;
}

}  // namespace rocket
