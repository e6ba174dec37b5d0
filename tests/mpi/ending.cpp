#include "ending.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <numeric>
#include <thread>

#include "base/activity.h"
#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"
#include "comm/launcher.h"
#include "comm/mpi_comm.h"
#include "comm/units.h"
#include "comm/watch.h"

namespace rocket {
namespace {

void work_for_a_while(Comm& comm) {
  std::vector<std::int64_t> pending(1000);
  std::iota(pending.begin(), pending.end(), 0);
  const auto work = [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(50)); };
  const auto tell = [](std::int64_t unit, int) { unit == 0 ? log::info("working") : void(); };
  if (run_units(comm, pending, {work, tell}) == UnitsEnd::stopped) {
    agree(comm, [] { fail(ExitCode::stopped, "stopped"); });
  }
}

/// Ranks that meet again and again until the last of them does not come.
void meet(Comm& comm, std::string_view way) {
  Watch watch(comm, {std::chrono::milliseconds(1600), std::chrono::milliseconds(3000)});
  for (int round = 0; round < 10 || way != "met"; ++round) {
    const bool last = comm.rank() == (way.starts_with("root") ? 0 : comm.size() - 1);
    if (round == 5 && last && way.ends_with("stopped")) std::raise(SIGSTOP);
    while (round == 5 && last && way.ends_with("stuck"))
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (round == 5 && last && way == "killed") std::raise(SIGKILL);
    comm.barrier();
    if (round == 10) break;
  }
}

/// A unit for each rank, of 1.5 s. That of one rank never ends, or takes long and gets further all the time.
void work_under_watch(Comm& comm, std::string_view way) {
  using std::chrono::milliseconds;
  const bool patient = way.ends_with("patient");  // only a signal shortens the wait for the stuck rank
  const Watch watch(comm, {milliseconds(1000), milliseconds(patient ? 1'000'000 : 2000)});
  const bool bad = comm.rank() == (way.find("root") != way.npos ? 0 : comm.size() - 1);
  std::vector<std::int64_t> pending(static_cast<std::size_t>(comm.size()));
  std::iota(pending.begin(), pending.end(), 0);
  const auto work = [&](std::int64_t) {
    std::this_thread::sleep_for(milliseconds(200));  // until root has handed out all units
    if (bad && way.find("stopped") != way.npos) std::raise(SIGSTOP);
    while (bad && way.find("stuck") != way.npos) std::this_thread::sleep_for(milliseconds(50));
    for (int i = 0; i < (bad ? 60 : 26); ++i) {
      std::this_thread::sleep_for(milliseconds(50));
      note_activity();
    }
    std::fprintf(stderr, "rank %d has committed\n", comm.rank());
  };
  if (run_units(comm, pending, {work, {}}) == UnitsEnd::stopped)
    agree(comm, [] { fail(ExitCode::stopped, "stopped"); });
}

void run_job(Comm& comm, std::string_view way, ExitCode code) {
  const auto fail_last = [&] { comm.rank() == comm.size() - 1 ? fail(code, "the last rank fails") : void(); };
  if (way == "stop") {
    work_for_a_while(comm);
  } else if (way == "agreed") {
    agree(comm, fail_last);
  } else if (way == "alone") {
    fail_last();
    comm.barrier();
  } else if (way.starts_with("work")) {
    work_under_watch(comm, way);
  } else if (way == "met" || way == "killed" || way.ends_with("stopped") || way.ends_with("stuck")) {
    meet(comm, way);
  } else if (way == "units") {
    run_units(comm, {0, 1, 2},
              {[&](std::int64_t unit) { unit == 1 ? fail(code, "unit 1 fails") : void(); }, {}});
  }
}

}  // namespace

int run_ending(std::string_view way, int code) {
  install_stop_signals(SecondSignal::only_asks);
  std::unique_ptr<Comm> comm = launched_by_mpi() ? make_mpi_comm() : make_local_comm();
  log::configure(log::Level::normal, comm->is_root());
  try {
    run_job(*comm, way, static_cast<ExitCode>(code));
    return leave(std::move(comm), 0, true);
  } catch (const Error& e) {
    if (comm->is_root() || !e.agreed()) {
      std::fprintf(stderr, "error: %s\n", e.what());
    }
    return leave(std::move(comm), static_cast<int>(e.code()), e.agreed());
  }
}

}  // namespace rocket
