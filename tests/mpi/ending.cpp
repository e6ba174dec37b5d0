#include "ending.h"

#include <chrono>
#include <cstdio>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"
#include "comm/mpi_comm.h"
#include "comm/units.h"

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

void run_job(Comm& comm, std::string_view way, ExitCode code) {
  const auto fail_last = [&] { comm.rank() == comm.size() - 1 ? fail(code, "the last rank fails") : void(); };
  if (way == "stop") {
    work_for_a_while(comm);
  } else if (way == "agreed") {
    agree(comm, fail_last);
  } else if (way == "alone") {
    fail_last();
    comm.barrier();
  } else if (way == "units") {
    run_units(comm, {0, 1, 2},
              {[&](std::int64_t unit) { unit == 1 ? fail(code, "unit 1 fails") : void(); }, {}});
  }
}

}  // namespace

int run_ending(std::string_view way, int code) {
  install_stop_signals();
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
