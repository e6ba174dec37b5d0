// Ranks that are threads of one process; one rank alone is a group of one.
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "comm/comm.h"

namespace rocket {
namespace {

// Thrown on ranks that wait for one that will not come: a consequence, never the cause.
struct Abandoned : Error {
  using Error::Error;
};

// What a rank brings to a collective.
struct Offer {
  const char* what = "";
  const void* data = nullptr;
  std::size_t size = 0;
  int root = 0;
};

class Group {
 public:
  explicit Group(int size) : size_(size), offers_(static_cast<std::size_t>(size)), boxes_(offers_.size()) {}

  int size() const { return size_; }

  /// Waits for everyone's offer. They stay valid until `finish`, which every meeting needs.
  const std::vector<Offer>& meet(int rank, const Offer& offer) {
    {
      std::lock_guard lock(mutex_);
      offers_[static_cast<std::size_t>(rank)] = offer;
    }
    wait_for_all(offer.what);
    for (const Offer& other : offers_) {
      if (std::strcmp(other.what, offer.what) != 0 || other.size != offer.size || other.root != offer.root) {
        fail_internal("ranks meet in different collectives: {} of {} and {} of {}", offer.what, offer.size,
                      other.what, other.size);
      }
    }
    return offers_;
  }

  void finish(const char* what) { wait_for_all(what); }

  void post(int to, int tag, Message message) {
    std::lock_guard lock(mutex_);
    boxes_.at(static_cast<std::size_t>(to))[tag].push_back(std::move(message));
    changed_.notify_all();
  }

  Message take(int rank, int tag) {
    std::unique_lock lock(mutex_);
    auto& box = boxes_[static_cast<std::size_t>(rank)][tag];
    const auto alone = [&] { return size_ > 1 && left_ == size_ - 1; };
    changed_.wait(lock, [&] { return !box.empty() || alone(); });
    if (box.empty()) {
      throw Abandoned(ExitCode::internal, "all other ranks left before they sent what is waited for");
    }
    return pop(box);
  }

  std::optional<Message> try_take(int rank, int tag) {
    std::lock_guard lock(mutex_);
    auto& box = boxes_[static_cast<std::size_t>(rank)][tag];
    return box.empty() ? std::nullopt : std::optional(pop(box));
  }

  void leave() {
    std::lock_guard lock(mutex_);
    ++left_;
    changed_.notify_all();
  }

 private:
  static Message pop(std::deque<Message>& box) {
    Message message = std::move(box.front());
    box.pop_front();
    return message;
  }

  void wait_for_all(const char* what) {
    std::unique_lock lock(mutex_);
    const std::uint64_t round = round_;
    if (++waiting_ == size_) {
      waiting_ = 0;
      ++round_;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return round_ != round || left_ > 0; });
    if (round_ == round) {
      throw Abandoned(ExitCode::internal, fmt::format("a rank left while others wait for it in {}", what));
    }
  }

  const int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0, left_ = 0;
  std::uint64_t round_ = 0;
  std::vector<Offer> offers_;
  std::vector<std::map<int, std::deque<Message>>> boxes_;
};

class ThreadComm : public Comm {
 public:
  ThreadComm(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }

  void barrier() override {
    const Waiting waits(*this);
    group_->meet(rank_, {"barrier"});
    group_->finish("barrier");
  }

  void broadcast(std::span<std::byte> data, int root) override {
    const Waiting waits(*this);
    const auto& offers = group_->meet(rank_, {"broadcast", data.data(), data.size(), root});
    if (rank_ != root && !data.empty()) {
      std::memcpy(data.data(), offers.at(static_cast<std::size_t>(root)).data, data.size());
    }
    group_->finish("broadcast");
  }

  void sum(std::span<float> data) override { add_up(data, "sum of float"); }
  void sum(std::span<double> data) override { add_up(data, "sum of double"); }

  std::vector<std::string> gather_all(std::string_view mine) override {
    const Waiting waits(*this);
    // Lengths may differ, so the offer is the view itself.
    const auto& offers = group_->meet(rank_, {"gather_all", &mine, sizeof(mine)});
    std::vector<std::string> all;
    for (const Offer& offer : offers) {
      all.emplace_back(*static_cast<const std::string_view*>(offer.data));
    }
    group_->finish("gather_all");
    return all;
  }

  void send(int to, int tag, std::string_view body) override {
    group_->post(to, tag, {rank_, std::string(body)});
  }
  Message receive(int tag) override {
    const Waiting waits(*this);
    return group_->take(rank_, tag);
  }
  std::optional<Message> try_receive(int tag) override { return group_->try_take(rank_, tag); }

  [[noreturn]] void abort(int code) override { std::_Exit(code); }

 private:
  template <class T>
  void add_up(std::span<T> data, const char* what) {
    const Waiting waits(*this);
    const auto& offers = group_->meet(rank_, {what, data.data(), data.size()});
    std::vector<T> total(data.size(), T(0));
    for (const Offer& offer : offers) {
      const T* other = static_cast<const T*>(offer.data);
      for (std::size_t i = 0; i < total.size(); ++i) {
        total[i] += other[i];
      }
    }
    group_->finish(what);
    std::copy(total.begin(), total.end(), data.begin());
  }

  std::shared_ptr<Group> group_;
  int rank_;
};

void rethrow_cause(const std::vector<std::exception_ptr>& errors) {
  std::exception_ptr consequence;
  for (const auto& error : errors) {
    try {
      if (error) {
        std::rethrow_exception(error);
      }
    } catch (const Abandoned&) {
      consequence = consequence ? consequence : error;
    }
  }
  if (consequence) {
    std::rethrow_exception(consequence);
  }
}

}  // namespace

std::unique_ptr<Comm> make_local_comm() {
  return std::make_unique<ThreadComm>(std::make_shared<Group>(1), 0);
}

void run_on_threads(int size, const std::function<void(Comm&)>& body) {
  const auto group = std::make_shared<Group>(size);
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        ThreadComm comm(group, rank);
        body(comm);
      } catch (...) {
        errors[static_cast<std::size_t>(rank)] = std::current_exception();
      }
      group->leave();
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  rethrow_cause(errors);
}

}  // namespace rocket
