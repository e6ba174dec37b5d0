#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

#include "comm/mpi_comm.h"
#include "ending.h"
#include "unit/comm/comm_checks.h"

namespace rocket {
namespace {

Comm* world = nullptr;

TEST(Mpi, CommDoesWhatItMust) {
  testing::check_comm(*world);
}
TEST(Mpi, RanksAgreeOnErrors) {
  testing::check_agreement(*world);
}
TEST(Mpi, UnitsAreWorkedOnOnce) {
  testing::check_units(*world);
}

TEST(Mpi, SumsInFixedOrderHaveTheSameBits) {
  testing::check_fixed_order_sum(*world);
}

TEST(Mpi, ASecondCommLivesBesideTheFirst) {
  const auto second = make_mpi_comm();
  EXPECT_EQ(second->size(), world->size());
  testing::check_comm(*second);
}

// Pieces of a few elements take the way of messages and sums beyond 2 GiB.
TEST(Mpi, WhatIsLongGoesInPieces) {
  for (const std::size_t piece : {1u, 3u, 8u}) {
    const auto comm = make_mpi_comm(piece);
    testing::check_agreement(*comm);
    const std::string text(100 + static_cast<std::size_t>(comm->rank()),
                           static_cast<char>('a' + comm->rank()));
    comm->send((comm->rank() + 1) % comm->size(), 1, text);
    const int from = (comm->rank() + comm->size() - 1) % comm->size();
    EXPECT_EQ(comm->receive(1).body,
              std::string(100 + static_cast<std::size_t>(from), static_cast<char>('a' + from)));
    std::vector<double> values{1, 2, 3, 4, 5, 6, 7.0 * comm->rank()};
    comm->sum(std::span(values));
    const double n = comm->size();
    EXPECT_EQ(values, (std::vector<double>{n, 2 * n, 3 * n, 4 * n, 5 * n, 6 * n, 7 * n * (n - 1) / 2}));
  }
}

int run_tests(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  auto comm = make_mpi_comm();
  world = comm.get();
  if (!comm->is_root()) {
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
  }
  const bool failed = any_rank(*comm, RUN_ALL_TESTS() != 0);
  return leave(std::move(comm), failed ? 1 : 0, true);
}

}  // namespace
}  // namespace rocket

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--end") {
    return rocket::run_ending(argv[2], std::atoi(argv[3]));
  }
  return rocket::run_tests(argc, argv);
}
