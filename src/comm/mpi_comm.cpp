#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include "comm/mpi_comm.h"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <list>
#include <mutex>
#include <stop_token>
#include <thread>
#include <type_traits>

#include "base/error.h"
#include "base/log.h"
#include "comm/launcher.h"

namespace rocket {
namespace {

void check(int result, const char* what) {
  if (result != MPI_SUCCESS) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(result, text, &length);
    fail_internal("MPI: {}: {}", what, std::string_view(text, static_cast<std::size_t>(length)));
  }
}

MPI_Comm duplicate_world() {
  MPI_Comm copy = MPI_COMM_NULL;
  check(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup");
  check(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return copy;
}

// Waits a little longer each time: a service thread must not take a core from the work beside it.
class Patience {
 public:
  void wait() {
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(2 * pause_, std::chrono::microseconds(1000));
  }

 private:
  std::chrono::microseconds pause_{10};
};

class MpiComm : public Comm {
 public:
  MpiComm(bool finalizes, std::size_t piece)
      : piece_(piece),
        finalizes_(finalizes),
        exceptions_(std::uncaught_exceptions()),
        collective_(duplicate_world()),
        messages_(duplicate_world()) {
    check(MPI_Comm_rank(collective_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(collective_, &size_), "MPI_Comm_size");
  }

  // Both freeing and finalizing wait for the other ranks, which after an error may never come.
  ~MpiComm() override {
    if (std::uncaught_exceptions() > exceptions_) {
      return;
    }
    for (Outgoing& piece : outgoing_) {
      MPI_Wait(&piece.request, MPI_STATUS_IGNORE);
    }
    MPI_Comm_free(&messages_);
    MPI_Comm_free(&collective_);
    if (finalizes_) {
      MPI_Finalize();
    }
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void barrier() override {
    const Waiting waits(*this);
    check(MPI_Barrier(collective_), "MPI_Barrier");
  }

  void broadcast(std::span<std::byte> data, int root) override {
    const Waiting waits(*this);
    for (; !data.empty(); data = data.subspan(std::min(data.size(), piece_))) {
      const int count = static_cast<int>(std::min(data.size(), piece_));
      check(MPI_Bcast(data.data(), count, MPI_BYTE, root, collective_), "MPI_Bcast");
    }
  }

  void sum(std::span<float> data) override { add_up(data, MPI_FLOAT); }
  void sum(std::span<double> data) override { add_up(data, MPI_DOUBLE); }

  std::vector<std::string> gather_all(std::string_view mine) override;

  void send(int to, int tag, std::string_view body) override;
  Message receive(int tag) override;
  std::optional<Message> try_receive(int tag) override;

  [[noreturn]] void abort(int code) override {
    MPI_Abort(MPI_COMM_WORLD, code);
    std::_Exit(code);
  }

 private:
  template <class T>
  void add_up(std::span<T> data, MPI_Datatype type) {
    const Waiting waits(*this);
    for (; !data.empty(); data = data.subspan(std::min(data.size(), piece_))) {
      const int count = static_cast<int>(std::min(data.size(), piece_));
      check(MPI_Allreduce(MPI_IN_PLACE, data.data(), count, type, MPI_SUM, collective_), "MPI_Allreduce");
    }
  }

  // A message on its way: MPI reads the body until the request is done.
  struct Outgoing {
    std::string body;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  void forget_sent();
  bool take_piece(int from, int tag, Message& message, bool& more);

  const std::size_t piece_;  // in elements
  bool finalizes_;
  int exceptions_;
  MPI_Comm collective_, messages_;
  int rank_ = 0, size_ = 1;
  std::mutex sending_;
  std::list<Outgoing> outgoing_;
};

std::vector<std::string> MpiComm::gather_all(std::string_view mine) {
  const Waiting waits(*this);
  const std::uint64_t length = mine.size();
  std::vector<std::uint64_t> lengths(static_cast<std::size_t>(size_));
  check(MPI_Allgather(&length, 1, MPI_UINT64_T, lengths.data(), 1, MPI_UINT64_T, collective_),
        "MPI_Allgather");
  std::vector<std::string> all(lengths.size());
  for (int from = 0; from < size_; ++from) {
    std::string& text = all[static_cast<std::size_t>(from)];
    text = from == rank_ ? std::string(mine) : std::string(lengths[static_cast<std::size_t>(from)], '\0');
    broadcast(std::as_writable_bytes(std::span(text)), from);
  }
  return all;
}

// Each piece ends with a byte that tells whether more follow. The lock keeps the pieces of two threads apart.
void MpiComm::send(int to, int tag, std::string_view body) {
  std::lock_guard lock(sending_);
  forget_sent();
  for (bool more = true; more;) {
    Outgoing& piece = outgoing_.emplace_back(Outgoing{std::string(body.substr(0, piece_))});
    body.remove_prefix(piece.body.size());
    more = !body.empty();
    piece.body.push_back(more ? 1 : 0);
    const int length = static_cast<int>(piece.body.size());
    check(MPI_Isend(piece.body.data(), length, MPI_BYTE, to, tag, messages_, &piece.request), "MPI_Isend");
  }
}

void MpiComm::forget_sent() {
  outgoing_.remove_if([](Outgoing& piece) {
    int sent = 0;
    check(MPI_Test(&piece.request, &sent, MPI_STATUS_IGNORE), "MPI_Test");
    return sent != 0;
  });
}

// Appends the next piece from `from` to the message; false if none has come yet.
bool MpiComm::take_piece(int from, int tag, Message& message, bool& more) {
  int found = 0, length = 0;
  MPI_Message handle = MPI_MESSAGE_NULL;
  MPI_Status status;
  check(MPI_Improbe(from, tag, messages_, &found, &handle, &status), "MPI_Improbe");
  if (found == 0) {
    return false;
  }
  check(MPI_Get_count(&status, MPI_BYTE, &length), "MPI_Get_count");
  const std::size_t at = message.body.size();
  message.body.resize(at + static_cast<std::size_t>(length));
  check(MPI_Mrecv(message.body.data() + at, length, MPI_BYTE, &handle, &status), "MPI_Mrecv");
  message.from = status.MPI_SOURCE;
  more = message.body.back() != 0;
  message.body.pop_back();
  return true;
}

std::optional<Message> MpiComm::try_receive(int tag) {
  Message message;
  bool more = false;
  if (!take_piece(MPI_ANY_SOURCE, tag, message, more)) {
    return std::nullopt;
  }
  for (Patience patience; more;) {
    if (!take_piece(message.from, tag, message, more)) {
      patience.wait();
    }
  }
  return message;
}

Message MpiComm::receive(int tag) {
  const Waiting waits(*this);
  for (Patience patience;; patience.wait()) {
    if (auto message = try_receive(tag)) {
      return std::move(*message);
    }
  }
}

// Tasks that a launcher of another MPI has started are worlds of their own; they would all be root and write
// the same files.
void refuse_scattered_tasks() {
  int size = 0;
  check(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  const Launch launch = launch_of_environment();
  if (size > 1 || launch.tasks <= 1) return;
  fail_config(
      "{} says that this is one of {} tasks or more, but MPI ({}) sees each of them alone, and all would "
      "write "
      "the same files. Start them with the mpirun of that library, under Slurm with `srun --mpi=pmix`; if "
      "this "
      "is one process, `unset {}`",
      launch.variable, launch.tasks, mpi_version(), launch.variable);
}

// MPI_Init waits for all tasks of the launcher, however long that takes. Where some of them run something
// else it never ends: the first task says for whom it waits.
class WaitForOthers {
 public:
  WaitForOthers() : thread_([this](const std::stop_token& met) { say_later(met); }) {}

 private:
  void say_later(const std::stop_token& met) {
    constexpr std::chrono::seconds kPatience(10);
    const Launch launch = launch_of_environment();
    if (launch.rank > 0 || launch.variable.empty()) return;
    std::unique_lock lock(mutex_);
    woken_.wait_for(lock, met, kPatience, [] { return false; });
    if (met.stop_requested()) return;
    log::warn(
        "MPI still waits for the other tasks: {} says that this is one of {}, and all of them must run "
        "rocket. If this is one process, stop it and `unset {}`, or start it from outside of the step",
        launch.variable, launch.tasks > 0 ? std::to_string(launch.tasks) : "several", launch.variable);
  }

  std::mutex mutex_;
  std::condition_variable_any woken_;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<Comm> make_mpi_comm(std::size_t piece) {
  int started = 0, level = MPI_THREAD_SINGLE;
  MPI_Initialized(&started);
  if (started == 0) {
    const WaitForOthers wait;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &level), "MPI_Init_thread");
    refuse_scattered_tasks();
  } else {
    MPI_Query_thread(&level);
  }
  if (level < MPI_THREAD_MULTIPLE) {
    fail_internal("this MPI library ({}) cannot do MPI_THREAD_MULTIPLE, which rocket needs", mpi_version());
  }
  return std::make_unique<MpiComm>(started == 0, piece);
}

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string_view all(text, static_cast<std::size_t>(length));
  return std::string(all.substr(0, all.find_first_of(",\n")));
}

}  // namespace rocket
