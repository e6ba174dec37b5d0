// Asking a job to stop: SIGUSR1, SIGUSR2, SIGHUP, SIGTERM or SIGINT = at the next safe point.
#pragma once

namespace rocket {

enum class SecondSignal { only_asks, ends_at_once };

/// Signals that come from now on wait until install_stop_signals() or release_stop_signals() is called. For
/// the first line of main(): loading LibTorch takes a while, and by default each of these signals kills.
void hold_stop_signals();

/// The signals keep their default effect: for commands that have nothing to commit.
void release_stop_signals();

/// Every such signal requests a stop, however often it comes; SIGHUP does not where it was ignored before
/// (nohup). With SecondSignal::ends_at_once a SIGTERM or SIGINT that comes half a second or more after the
/// first one ends the process with 75, with a line on stderr that says what is lost. (Less than half a
/// second: one sender that tells the process and its process group, as `timeout` does.)
void install_stop_signals(SecondSignal second);

bool stop_requested();
/// For tests and for ranks that learn of the stop from another rank.
void request_stop();
void clear_stop_request();

}  // namespace rocket
