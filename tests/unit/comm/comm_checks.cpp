#include "unit/comm/comm_checks.h"

#include <gmock/gmock.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "base/stop.h"
#include "comm/fixed_order_sum.h"
#include "comm/placement.h"
#include "comm/reducer.h"
#include "comm/units.h"

namespace rocket::testing {
namespace {

using ::testing::ElementsAreArray;

// Differs for every pair of rank and place, and so do its sums over any ranks that are not all.
template <class T>
std::vector<T> numbers(int rank, std::size_t count) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<T>((rank + 1) * (rank + 1) * 1000 + static_cast<int>(i) * (rank + 2));
  }
  return values;
}

template <class T>
std::vector<T> numbers_of_all(int size, std::size_t count) {
  std::vector<T> total(count, 0);
  for (int rank = 0; rank < size; ++rank) {
    const auto values = numbers<T>(rank, count);
    std::transform(total.begin(), total.end(), values.begin(), total.begin(), std::plus<T>());
  }
  return total;
}

template <class T>
void check_sum(Comm& comm) {
  for (const std::size_t count : {0u, 1u, 7u, 1000u}) {
    auto values = numbers<T>(comm.rank(), count);
    comm.sum(std::span(values));
    EXPECT_EQ(values, numbers_of_all<T>(comm.size(), count));
  }
}

void check_host_reducer(Comm& comm) {
  auto values = numbers<float>(comm.rank(), 33);
  const auto reducer = make_host_reducer();
  reducer->begin(values.data(), 32, comm.size());
  reducer->added(comm.rank());
  reducer->finish(comm);
  auto expected = numbers_of_all<float>(comm.size(), 33);
  expected[32] = numbers<float>(comm.rank(), 33)[32];
  EXPECT_EQ(values, expected);
}

void check_broadcast(Comm& comm) {
  for (int root = 0; root < comm.size(); ++root) {
    auto values = numbers<double>(comm.rank(), 100);
    comm.broadcast(std::as_writable_bytes(std::span(values)), root);
    EXPECT_EQ(values, numbers<double>(root, 100));
    const std::string mine =
        std::string(static_cast<std::size_t>(comm.rank()) * 50, 'x') + std::to_string(comm.rank());
    EXPECT_EQ(broadcast_text(comm, mine, root),
              std::string(static_cast<std::size_t>(root) * 50, 'x') + std::to_string(root));
  }
  comm.broadcast({}, comm.size() - 1);
}

void check_gather(Comm& comm) {
  const auto text_of = [](int rank) {
    return std::string(static_cast<std::size_t>(rank * 37), static_cast<char>('a' + rank)) +
           std::string(rank % 2, '\0');
  };
  const auto all = comm.gather_all(text_of(comm.rank()));
  ASSERT_EQ(static_cast<int>(all.size()), comm.size());
  for (int rank = 0; rank < comm.size(); ++rank) {
    EXPECT_EQ(all[static_cast<std::size_t>(rank)], text_of(rank));
  }
}

// Everyone to everyone, itself included, with two tags that must not mix.
void check_messages(Comm& comm) {
  for (int to = 0; to < comm.size(); ++to) {
    for (const int tag : {4, 5}) {
      comm.send(to, tag, std::to_string(comm.rank()) + ">" + std::to_string(to) + "#" + std::to_string(tag));
    }
    comm.send(to, 6, "");
  }
  for (const int tag : {5, 4}) {
    std::map<int, std::string> bodies;
    for (int i = 0; i < comm.size(); ++i) {
      Message message = comm.receive(tag);
      bodies[message.from] = message.body;
    }
    for (int from = 0; from < comm.size(); ++from) {
      EXPECT_EQ(bodies[from],
                std::to_string(from) + ">" + std::to_string(comm.rank()) + "#" + std::to_string(tag));
    }
  }
  for (int i = 0; i < comm.size(); ++i) {
    EXPECT_EQ(comm.receive(6).body, "");
  }
  for (const int tag : {4, 5, 6}) {
    EXPECT_FALSE(comm.try_receive(tag).has_value());
  }
}

// From another thread, while this one is in a collective, and long enough to go in pieces.
void check_message_beside_collectives(Comm& comm) {
  const int next = (comm.rank() + 1) % comm.size();
  const int last = (comm.rank() + comm.size() - 1) % comm.size();
  const std::string body(5000 + static_cast<std::size_t>(comm.rank()), static_cast<char>('A' + comm.rank()));
  std::thread service([&] {
    comm.send(next, 7, body);
    const Message message = comm.receive(7);
    EXPECT_EQ(message.from, last);
    EXPECT_EQ(message.body,
              std::string(5000 + static_cast<std::size_t>(last), static_cast<char>('A' + last)));
  });
  for (int i = 0; i < 20; ++i) {
    check_sum<float>(comm);
  }
  service.join();
}

struct Caught {
  ExitCode code = ExitCode::done;
  std::string message;
  bool agreed = false;
};

Caught caught(const std::function<void()>& f) {
  try {
    f();
    return {};
  } catch (const Error& e) {
    return {e.code(), e.what(), e.agreed()};
  }
}

// The text with "rank N: " in front only where other ranks exist that did not fail in the same way.
std::string from_rank(const Comm& comm, int rank, const std::string& text) {
  return comm.size() == 1 ? text : "rank " + std::to_string(rank) + ": " + text;
}

void expect_agreed(Comm& comm, const std::function<void()>& local, ExitCode code,
                   const std::string& message) {
  const Caught got = caught([&] { agree(comm, local); });
  EXPECT_EQ(static_cast<int>(got.code), static_cast<int>(code));
  EXPECT_EQ(got.message, message);
  EXPECT_TRUE(got.agreed);
}

// How often each unit was worked on and committed, over all ranks.
struct Tally {
  std::vector<float> worked, committed;
  explicit Tally(std::size_t units) : worked(units), committed(units) {}
};

void check_units_once_each(Comm& comm, std::size_t count) {
  std::vector<std::int64_t> pending(count);
  std::iota(pending.begin(), pending.end(), 100);
  Tally tally(count);
  std::vector<std::int64_t> order;
  const UnitsHooks hooks{[&](std::int64_t unit) {
                           tally.worked[static_cast<std::size_t>(unit - 100)] += 1;
                           order.push_back(unit);
                         },
                         [&](std::int64_t unit, int by_rank) {
                           tally.committed[static_cast<std::size_t>(unit - 100)] += 1;
                           EXPECT_LT(by_rank, comm.size());
                         }};
  EXPECT_EQ(run_units(comm, pending, hooks), UnitsEnd::finished);
  EXPECT_TRUE(comm.is_root() || tally.committed == std::vector<float>(count));
  comm.sum(std::span(tally.worked));
  comm.sum(std::span(tally.committed));
  EXPECT_EQ(tally.worked, std::vector<float>(count, 1));
  EXPECT_EQ(tally.committed, std::vector<float>(count, 1));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

// Units long enough for every rank to get some.
void check_every_rank_works(Comm& comm) {
  std::vector<std::int64_t> pending(static_cast<std::size_t>(comm.size() * 8));
  std::iota(pending.begin(), pending.end(), 0);
  int mine = 0;
  run_units(comm, pending,
            {[&](std::int64_t) {
               ++mine;
               std::this_thread::sleep_for(std::chrono::milliseconds(10));
             },
             {}});
  EXPECT_GT(mine, 0);
}

void check_failing_unit(Comm& comm) {
  const std::vector<std::int64_t> pending{0, 1, 2, 3, 4, 5};
  float worked = 0;
  const Caught got = caught([&] {
    run_units(comm, pending,
              {[&](std::int64_t unit) {
                 worked += 1;
                 if (unit == 2) {
                   fail_data("unit {} is bad", unit);
                 }
                 std::this_thread::sleep_for(std::chrono::milliseconds(5));
               },
               {}});
  });
  EXPECT_EQ(static_cast<int>(got.code), 65);
  EXPECT_THAT(got.message, ::testing::EndsWith("unit 2 is bad"));
  EXPECT_TRUE(got.agreed);
  comm.sum(std::span(&worked, 1));
  EXPECT_GE(worked, 3);
  EXPECT_LE(worked, static_cast<float>(2 + comm.size()));
}

void check_failing_hook(Comm& comm) {
  const std::vector<std::int64_t> pending{0, 1, 2, 3, 4, 5};
  const Caught got = caught([&] {
    run_units(comm, pending, {[](std::int64_t) {}, [](std::int64_t, int) { fail_storage("no room"); }});
  });
  EXPECT_EQ(static_cast<int>(got.code), 74);
  EXPECT_EQ(got.message, from_rank(comm, 0, "no room"));
}

// The last rank is asked to stop while it works; it needs a unit of its own for that.
void check_stop(Comm& comm) {
  std::vector<std::int64_t> pending(static_cast<std::size_t>(comm.size() * 50));
  std::iota(pending.begin(), pending.end(), 0);
  float worked = 0;
  const UnitsEnd end = run_units(comm, pending,
                                 {[&](std::int64_t) {
                                    worked += 1;
                                    std::this_thread::sleep_for(std::chrono::milliseconds(5));
                                    if (comm.rank() == comm.size() - 1) {
                                      request_stop();
                                    }
                                  },
                                  {}});
  EXPECT_EQ(end, UnitsEnd::stopped);
  EXPECT_TRUE(stop_requested());
  comm.sum(std::span(&worked, 1));
  EXPECT_GE(worked, 1);
  EXPECT_LT(worked, static_cast<float>(pending.size()));
  comm.barrier();
  EXPECT_EQ(run_units(comm, pending, {[](std::int64_t) { ADD_FAILURE() << "worked after a stop"; }, {}}),
            UnitsEnd::stopped);
  EXPECT_EQ(run_units(comm, {}, {}), UnitsEnd::finished);
  comm.barrier();
  clear_stop_request();
  comm.barrier();
}

}  // namespace

void check_comm(Comm& comm) {
  EXPECT_EQ(comm.is_root(), comm.rank() == 0);
  comm.barrier();
  check_sum<float>(comm);
  check_sum<double>(comm);
  check_host_reducer(comm);
  check_broadcast(comm);
  check_gather(comm);
  check_messages(comm);
  check_message_beside_collectives(comm);
  const Placement place = place_ranks(comm, cores_of_process());
  EXPECT_EQ(place.rank_on_node, comm.rank());
  EXPECT_EQ(place.ranks_on_node, comm.size());
  EXPECT_EQ(place.nodes, 1);
}

void check_agreement(Comm& comm) {
  agree(comm, [] {});
  const int last = comm.size() - 1;
  EXPECT_FALSE(any_rank(comm, false));
  EXPECT_TRUE(any_rank(comm, comm.rank() == last));
  expect_agreed(
      comm, [&] { comm.rank() == last ? fail_config("bad") : void(); }, ExitCode::config,
      from_rank(comm, last, "bad"));
  expect_agreed(
      comm, [] { fail_storage("same"); }, ExitCode::storage, "same");
  expect_agreed(
      comm, [&] { fail(comm.rank() == 0 ? ExitCode::data : ExitCode::storage, "of {}", comm.rank()); },
      ExitCode::data, from_rank(comm, 0, "of 0"));
  expect_agreed(
      comm, [&] { comm.rank() == last ? throw std::runtime_error("odd\nstack trace") : void(); },
      ExitCode::internal, from_rank(comm, last, "odd"));
  expect_agreed(
      comm, [&] { comm.rank() == last ? throw 3 : void(); }, ExitCode::internal,
      from_rank(comm, last, "an exception of unknown type"));
  int calls = 0;
  on_root(comm, [&] { ++calls; });
  EXPECT_EQ(calls, comm.is_root() ? 1 : 0);
  const Caught got = caught([&] { on_root(comm, [] { fail_data("root only"); }); });
  EXPECT_EQ(got.message, from_rank(comm, 0, "root only"));
}

void check_units(Comm& comm) {
  for (const std::size_t count : {0u, 1u, 2u, 50u}) {
    check_units_once_each(comm, count);
  }
  check_every_rank_works(comm);
  check_failing_unit(comm);
  check_failing_hook(comm);
  check_units_once_each(comm, 5);
  check_stop(comm);
}

namespace {

/// Ordinary floats, whose sums depend on the order.
std::vector<float> leaf_values(std::int64_t leaf, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] =
        static_cast<float>(std::sin(static_cast<double>(leaf) * 7.3 + static_cast<double>(i) * 0.37)) *
        std::pow(10.0f, static_cast<float>(leaf % 5));
  return values;
}

/// The sum of the leaves [first, end), where `first` is a multiple of the largest power of two in their
/// number.
std::vector<float> sum_of_leaves(std::int64_t first, std::int64_t end, std::size_t count) {
  if (end <= first) return std::vector<float>(count, 0.0f);
  if (end - first == 1) return leaf_values(first, count);
  const auto half = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(end - first)) / 2);
  std::vector<float> left = sum_of_leaves(first, first + half, count);
  const std::vector<float> right = sum_of_leaves(first + half, end, count);
  for (std::size_t i = 0; i < count; ++i) left[i] += right[i];
  return left;
}

}  // namespace

void check_fixed_order_sum(Comm& comm) {
  for (const std::int64_t leaves : {0, 1, 2, 3, 5, 8, 13, 32}) {
    for (const std::size_t count : {1u, 41u}) {
      FixedOrderSum sum(leaves, count);
      const LeafShare share = leaf_share(leaves, comm.rank(), comm.size());
      for (std::int64_t leaf = share.first; leaf < share.first + share.count; ++leaf)
        sum.add(leaf, leaf_values(leaf, count));
      std::vector<float> total(count, -1.0f);
      sum.finish(comm, total);
      EXPECT_EQ(total, sum_of_leaves(0, leaves, count)) << leaves << " leaves on " << comm.size() << " ranks";
    }
  }
}

}  // namespace rocket::testing
