// Ranks and what they say to each other. Implementations: one rank alone, threads of one process, MPI.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/bytes.h"

namespace rocket {

struct Message {
  int from = 0;
  std::string body;
};

/// A group of ranks. Rule of the house: a function is collective if and only if it takes a `Comm&`.
class Comm {
 public:
  virtual ~Comm() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  bool is_root() const { return rank() == 0; }

  /// Collective.
  virtual void barrier() = 0;
  /// Collective. `data` has the same length on all ranks.
  virtual void broadcast(std::span<std::byte> data, int root) = 0;
  /// Collective. Element-wise sum over ranks, in an order that the implementation chooses.
  virtual void sum(std::span<float> data) = 0;
  virtual void sum(std::span<double> data) = 0;
  /// Collective. Everyone's text, by rank; lengths may differ.
  virtual std::vector<std::string> gather_all(std::string_view mine) = 0;

  /// Point to point, any thread, also to oneself; does not wait for the receiver. Tags are small non-negative
  /// numbers; one thread at a time receives a tag.
  virtual void send(int to, int tag, std::string_view body) = 0;
  /// The next message with this tag from any rank; waits for it without spinning.
  virtual Message receive(int tag) = 0;
  virtual std::optional<Message> try_receive(int tag) = 0;

  /// Ends all ranks at once with this exit code.
  [[noreturn]] virtual void abort(int code) = 0;

  /// Local, any thread: whether the rank's own thread (the one that made this Comm) waits for other ranks.
  bool is_waiting() const { return waiting_ > 0; }

  /// While it lives, this rank waits for others. Collectives and receive() do so by themselves.
  class Waiting {
   public:
    explicit Waiting(Comm& comm);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    std::atomic<int>* count_;
  };

 private:
  const std::thread::id owner_ = std::this_thread::get_id();
  std::atomic<int> waiting_{0};
};

/// One rank alone.
std::unique_ptr<Comm> make_local_comm();

/// Runs `body` on `size` threads of this process, each with its own Comm; returns when all have ended.
/// Rethrows the first exception by rank. For tests of distributed logic: ranks that meet in different
/// collectives, or wait for one that has left, get an internal Error instead of hanging.
void run_on_threads(int size, const std::function<void(Comm&)>& body);

/// Collective. The text of `root`, on every rank.
std::string broadcast_text(Comm& comm, const std::string& text, int root = 0);

/// Collective. The values of `root`, on every rank.
template <class T>
std::vector<T> broadcast_values(Comm& comm, const std::vector<T>& values, int root = 0) {
  return values_of<T>(broadcast_text(comm, std::string(bytes_of(values)), root));
}

/// Collective. True if `mine` is true on any rank.
bool any_rank(Comm& comm, bool mine);

/// Collective. Runs `local` here; if it threw on any rank, every rank throws the Error of the lowest such
/// rank, with Error::agreed() set and "rank N: " in front (not where there is one rank, nor where all threw
/// the same). Exceptions that are not Errors count as internal.
void agree(Comm& comm, const std::function<void()>& local);

/// Collective. Runs `local` on root alone; all ranks agree on its success.
void on_root(Comm& comm, const std::function<void()>& local);

/// How main ends: `return leave(std::move(comm), code, agreed);`. Under a launcher the whole job then ends
/// with this code. `agreed` (Error::agreed(), or success): all ranks come here with the same code and leave
/// in good order, collectively. Otherwise the other ranks may wait for this one for ever, so it ends them all
/// at once.
int leave(std::unique_ptr<Comm> comm, int code, bool agreed);

}  // namespace rocket
