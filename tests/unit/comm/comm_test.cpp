#include "comm/comm.h"

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/activity.h"
#include "base/error.h"
#include "base/stop.h"
#include "comm/mpi_comm.h"
#include "comm/reducer.h"
#include "comm/units.h"
#include "comm/watch.h"
#include "unit/base/scratch.h"
#include "unit/comm/comm_checks.h"

namespace rocket {
namespace {

using testing::expect_error;

class OnThreads : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { clear_stop_request(); }
  void TearDown() override { clear_stop_request(); }
};

TEST_P(OnThreads, CommDoesWhatItMust) {
  run_on_threads(GetParam(), testing::check_comm);
}
TEST_P(OnThreads, RanksAgreeOnErrors) {
  run_on_threads(GetParam(), testing::check_agreement);
}
TEST_P(OnThreads, UnitsAreWorkedOnOnce) {
  run_on_threads(GetParam(), testing::check_units);
}

TEST_P(OnThreads, SumsInFixedOrderHaveTheSameBits) {
  run_on_threads(GetParam(), testing::check_fixed_order_sum);
}

TEST_P(OnThreads, AWatchOverLivingRanksIsQuiet) {
  run_on_threads(GetParam(), [](Comm& comm) {
    for (int again = 0; again < 3;
         ++again) {  // signs of an earlier watch are not taken for those of a later one
      Watch watch(comm, {std::chrono::milliseconds(200), std::chrono::milliseconds(300)});
      for (int i = 0; i < 40; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(comm.rank() == 1 ? 5 : 1));
        comm.barrier();
      }
    }
  });
}

TEST(Watch, NamesTheRankThatAllWaitFor) {
  const auto wait = [] {
    run_on_threads(3, [](Comm& comm) {
      Watch watch(comm, {std::chrono::milliseconds(400), std::chrono::milliseconds(300)});
      while (comm.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      comm.barrier();
    });
  };
  EXPECT_EXIT(wait(), ::testing::ExitedWithCode(70), "the others wait for rank 1 on ");
}

TEST(Watch, WhoGetsFurtherIsLeftAlone) {
  run_on_threads(3, [](Comm& comm) {
    Watch watch(comm, {std::chrono::milliseconds(400), std::chrono::milliseconds(300)});
    for (int i = 0; comm.rank() == 1 && i < 100; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      note_activity();
    }
    comm.barrier();
  });
}

// A rank waits while its own thread does; what its service threads wait for does not count.
TEST(Waiting, IsThatOfTheRanksOwnThread) {
  run_on_threads(2, [](Comm& comm) {
    std::thread service([&] {
      comm.receive(1);
      comm.send(0, 2, "");
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    EXPECT_FALSE(comm.is_waiting());
    {
      const Comm::Waiting waits(comm);
      EXPECT_TRUE(comm.is_waiting());
    }
    EXPECT_FALSE(comm.is_waiting());
    comm.send(comm.rank(), 1, "");
    service.join();
    comm.barrier();
  });
}

TEST(Watch, ARankThatLeavesIsNotMissed) {
  run_on_threads(3, [](Comm& comm) {
    Watch watch(comm, {std::chrono::milliseconds(100), std::chrono::milliseconds(10'000)});
    if (comm.rank() != 2) std::this_thread::sleep_for(std::chrono::milliseconds(400));
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, OnThreads, ::testing::Values(1, 2, 3, 7));

TEST(LocalComm, IsOneRank) {
  const auto comm = make_local_comm();
  EXPECT_EQ(comm->rank(), 0);
  EXPECT_EQ(comm->size(), 1);
  testing::check_comm(*comm);
  testing::check_agreement(*comm);
}

TEST(LocalComm, AbortEndsTheProcessWithTheCode) {
  EXPECT_EXIT(make_local_comm()->abort(74), ::testing::ExitedWithCode(74), "");
}

TEST(RunOnThreads, RanksInDifferentCollectivesAreFoundOut) {
  const auto body = [](Comm& comm) {
    float x = 0;
    comm.rank() == 1 ? comm.barrier() : comm.sum(std::span(&x, 1));
  };
  expect_error([&] { run_on_threads(3, body); }, ExitCode::internal, {"different collectives"});
}

TEST(RunOnThreads, DifferentLengthsAreFoundOut) {
  const auto body = [](Comm& comm) {
    std::vector<float> x(comm.rank() == 1 ? 3 : 2);
    comm.sum(std::span(x));
  };
  expect_error([&] { run_on_threads(2, body); }, ExitCode::internal, {"different collectives", "2", "3"});
}

TEST(RunOnThreads, ASkippedCollectiveIsFoundOut) {
  const auto body = [](Comm& comm) { comm.rank() == 1 ? void() : comm.barrier(); };
  expect_error([&] { run_on_threads(3, body); }, ExitCode::internal, {"a rank left", "barrier"});
}

TEST(RunOnThreads, AMessageThatNeverComesIsFoundOut) {
  const auto body = [](Comm& comm) { comm.rank() == 0 ? void(comm.receive(1)) : void(); };
  expect_error([&] { run_on_threads(2, body); }, ExitCode::internal, {"left before they sent"});
}

TEST(RunOnThreads, TheCauseIsRethrownAndNotItsConsequence) {
  const auto body = [](Comm& comm) {
    if (comm.rank() == 2) {
      fail_data("the cause");
    }
    comm.barrier();
  };
  expect_error([&] { run_on_threads(3, body); }, ExitCode::data, {"the cause"});
}

TEST(Leave, WhatIsNotAgreedEndsAllAtOnce) {
  EXPECT_EXIT(
      {
        run_on_threads(2, [](Comm& comm) {
          if (comm.rank() == 1) {
            comm.abort(65);
          }
          comm.barrier();
        });
      },
      ::testing::ExitedWithCode(65), "");
  EXPECT_EQ(leave(make_local_comm(), 78, false), 78);
  EXPECT_EQ(leave(make_local_comm(), 0, true), 0);
}

TEST(Versions, AreToldWithoutStartingAnything) {
  EXPECT_THAT(mpi_version(), ::testing::MatchesRegex(".*[0-9]+\\.[0-9]+.*"));
  EXPECT_THAT(nccl_version(), ::testing::MatchesRegex("none|[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_EQ(nccl_available(), nccl_version() != "none");
}

// On a machine without a GPU: an error that all ranks share, not a crash.
TEST(NcclReducer, WithoutItsDeviceIsAnErrorOnAllRanks) {
  std::atomic<int> errors{0};
  run_on_threads(2, [&](Comm& comm) {
    try {
      make_nccl_reducer(comm, 4096);
      ADD_FAILURE() << "device 4096 exists";
    } catch (const Error& e) {
      errors += e.agreed() ? 1 : 0;
    }
  });
  EXPECT_EQ(errors, 2);
}

}  // namespace
}  // namespace rocket
