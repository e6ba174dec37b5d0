#include "comm/units.h"

#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"

namespace rocket {
namespace {

constexpr int kToRoot = 1, kToWorker = 2;
constexpr std::int64_t kNoUnit = -1;

enum class News : std::int32_t { ready, committed, failed };

// Worker to root. Every report asks for the next unit as well.
struct Report {
  News news = News::ready;
  std::int32_t stop = 0;
  std::int64_t unit = kNoUnit;
};

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

template <class T>
T value_of(const std::string& bytes) {
  T value;
  if (bytes.size() != sizeof(T)) {
    fail_internal("units: a message of {} bytes, expected {}", bytes.size(), sizeof(T));
  }
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// Root's side: hands out units until none are left, a stop is asked for or something failed. Ranks without
// work are answered only when the last unit in flight has ended, so that nobody waits in a spinning
// collective.
class Coordinator {
 public:
  Coordinator(Comm& comm, const std::vector<std::int64_t>& pending, const UnitsHooks& hooks)
      : comm_(comm), pending_(pending), hooks_(hooks) {}

  void serve() {
    for (int parked = 0; parked < comm_.size();) {
      const Message message = comm_.receive(kToRoot);
      note(value_of<Report>(message.body), message.from);
      if (ending_ || next_ == pending_.size()) {
        ++parked;
      } else {
        comm_.send(message.from, kToWorker, bytes_of(pending_[next_++]));
      }
    }
    for (int rank = 0; rank < comm_.size(); ++rank) {
      comm_.send(rank, kToWorker, bytes_of(kNoUnit));
    }
  }

  bool finished() const { return committed_ == pending_.size(); }
  void rethrow_hook_error() const {
    if (hook_error_) {
      std::rethrow_exception(hook_error_);
    }
  }

 private:
  void note(const Report& report, int from) {
    ending_ = ending_ || report.news == News::failed || report.stop != 0 || stop_requested();
    if (report.news != News::committed) {
      return;
    }
    ++committed_;
    try {
      if (hooks_.committed && !hook_error_) {
        hooks_.committed(report.unit, from);
      }
    } catch (...) {
      hook_error_ = std::current_exception();
      ending_ = true;
    }
  }

  Comm& comm_;
  const std::vector<std::int64_t>& pending_;
  const UnitsHooks& hooks_;
  std::size_t next_ = 0, committed_ = 0;
  bool ending_ = false;
  std::exception_ptr hook_error_;
};

// Every rank's side. Returns what a unit threw.
std::exception_ptr work_on_units(Comm& comm, const UnitsHooks& hooks) {
  std::exception_ptr error;
  Report report;
  for (;;) {
    report.stop = stop_requested();
    comm.send(0, kToRoot, bytes_of(report));
    report.unit = value_of<std::int64_t>(comm.receive(kToWorker).body);
    if (report.unit == kNoUnit) {
      return error;
    }
    try {
      hooks.work(report.unit);
      report.news = News::committed;
    } catch (...) {
      error = std::current_exception();
      report.news = News::failed;
    }
  }
}

void rethrow(const std::exception_ptr& error) {
  if (error) {
    std::rethrow_exception(error);
  }
}

void serve_or_abort(Comm& comm, Coordinator& coordinator) {
  try {
    coordinator.serve();
  } catch (const std::exception& e) {
    // The others wait for an answer that cannot come any more.
    log::warn("units: {}", e.what());
    comm.abort(static_cast<int>(ExitCode::internal));
  }
}

bool run_on_ranks(Comm& comm, const std::vector<std::int64_t>& pending, const UnitsHooks& hooks) {
  Coordinator coordinator(comm, pending, hooks);
  std::thread service;
  if (comm.is_root()) {
    service = std::thread(serve_or_abort, std::ref(comm), std::ref(coordinator));
  }
  const std::exception_ptr error = work_on_units(comm, hooks);
  if (service.joinable()) {
    service.join();
  }
  agree(comm, [&] {
    rethrow(error);
    coordinator.rethrow_hook_error();
  });
  return any_rank(comm, comm.is_root() && coordinator.finished());
}

bool run_alone(Comm& comm, const std::vector<std::int64_t>& pending, const UnitsHooks& hooks) {
  std::size_t done = 0;
  agree(comm, [&] {
    for (; done < pending.size() && !stop_requested(); ++done) {
      hooks.work(pending[done]);
      if (hooks.committed) {
        hooks.committed(pending[done], 0);
      }
    }
  });
  return done == pending.size();
}

}  // namespace

UnitsEnd run_units(Comm& comm, const std::vector<std::int64_t>& pending, const UnitsHooks& hooks) {
  const bool finished =
      comm.size() == 1 ? run_alone(comm, pending, hooks) : run_on_ranks(comm, pending, hooks);
  if (!finished) {
    request_stop();  // a rank that learns of the stop here must not start the next round
  }
  return finished ? UnitsEnd::finished : UnitsEnd::stopped;
}

}  // namespace rocket
