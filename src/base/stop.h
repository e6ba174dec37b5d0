// Asking a job to stop: SIGUSR1, SIGTERM or SIGINT once = at the next safe point, twice = at once.
#pragma once

namespace rocket {

/// The first such signal requests a stop, the second ends the process at once with 75.
void install_stop_signals();
bool stop_requested();
/// For tests and for ranks that learn of the stop from another rank.
void request_stop();
void clear_stop_request();

}  // namespace rocket
