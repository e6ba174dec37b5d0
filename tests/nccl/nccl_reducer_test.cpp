// The NCCL reducer's own doing: in which order sums start, and how everything that can fail ends.
#include <gmock/gmock.h>

#include <chrono>
#include <numeric>
#include <random>

#include "base/error.h"
#include "comm/buckets.h"
#include "comm/reducer.h"
#include "nccl/fake_gpu.h"

namespace rocket {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class NcclReducerTest : public ::testing::Test {
 protected:
  NcclReducerTest() { testing::reset_fake_gpu(); }
};

/// Whole numbers: their sums are exact in any order.
std::vector<float> values_of(int rank, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = static_cast<float>(i % 1009) * static_cast<float>(rank + 1);
  return values;
}

std::vector<float> sums_over(int ranks, std::size_t count) {
  return values_of(ranks * (ranks + 1) / 2 - 1, count);
}

/// What each rank's work ends with; "" where it ends well. Each runs until it ends by itself.
std::vector<std::string> endings(int ranks, const std::function<void(Comm&)>& work) {
  std::vector<std::string> messages(static_cast<std::size_t>(ranks));
  run_on_threads(ranks, [&](Comm& comm) {
    try {
      work(comm);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::internal);
      messages[static_cast<std::size_t>(comm.rank())] = e.what();
    }
  });
  return messages;
}

TEST_F(NcclReducerTest, SumsWhateverIsReadyInWhateverOrder) {
  constexpr std::size_t count = 5000;
  for (const int ranks : {1, 2, 3}) {
    const auto ends = endings(ranks, [&](Comm& comm) {
      const auto reducer = make_nccl_reducer(comm, comm.rank(), {.bucket = 300});
      std::mt19937 random(static_cast<unsigned>(comm.rank()));
      for (int step = 0; step < 5; ++step) {
        std::vector<float> values = values_of(comm.rank(), count);
        std::vector<std::size_t> pieces(count / 100);
        std::iota(pieces.begin(), pieces.end(), 0);
        std::ranges::shuffle(pieces, random);
        pieces.resize(random() % pieces.size());  // the rest is left to finish()
        reducer->begin(values.data(), count, ranks);
        for (const std::size_t piece : pieces) reducer->ready(100 * piece, 100);
        reducer->finish(comm);
        EXPECT_EQ(values, sums_over(ranks, count)) << "step " << step;
      }
    });
    EXPECT_THAT(ends, ::testing::Each(""));
  }
  EXPECT_EQ(testing::destroyed_communicators(), 1 + 2 + 3);
  EXPECT_EQ(testing::aborted_communicators(), 0);
}

TEST_F(NcclReducerTest, SendsABucketAsSoonAsItIsReady) {
  const auto comm = make_local_comm();
  const auto reducer = make_nccl_reducer(*comm, 0, {.bucket = 300});
  std::vector<float> values(1000);
  reducer->begin(values.data(), values.size(), 3);
  reducer->ready(0, 500);
  EXPECT_THAT(testing::sums_of(0), ElementsAre()) << "the end comes first, on every rank";
  reducer->ready(600, 400);
  EXPECT_THAT(testing::sums_of(0), ElementsAre(300));
  reducer->ready(500, 100);
  EXPECT_THAT(testing::sums_of(0), ElementsAre(300, 300, 300, 100));
  reducer->finish(*comm);
  EXPECT_THAT(testing::sums_of(0), ElementsAre(300, 300, 300, 100));
}

TEST_F(NcclReducerTest, AnErrorOfTheNetworkNamesTheRank) {
  testing::break_communicator(/*rank=*/1, /*after=*/2, ncclRemoteError);
  const auto start = std::chrono::steady_clock::now();
  const auto ends = endings(3, [&](Comm& comm) {
    const auto reducer = make_nccl_reducer(comm, comm.rank(), {.bucket = 300, .limit = milliseconds(300)});
    std::vector<float> values = values_of(comm.rank(), 1000);
    reducer->begin(values.data(), values.size(), comm.size());
    reducer->finish(comm);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_THAT(ends[1], AllOf(HasSubstr("rank 1: device 1: NCCL: ncclAllReduce: remote process exited"),
                             HasSubstr("the pretended network is down")));
  for (const int rank : {0, 2})
    EXPECT_THAT(ends[static_cast<std::size_t>(rank)],
                HasSubstr(fmt::format(
                    "rank {}: device {}: NCCL: the sum of gradients did not end within 0.3 s: another rank "
                    "hangs or is gone",
                    rank, rank)));
  EXPECT_EQ(testing::aborted_communicators(), 3);
}

TEST_F(NcclReducerTest, ARankThatHangsEndsTheOthersInTime) {
  testing::make_rank_deaf(0);
  const auto start = std::chrono::steady_clock::now();
  const auto ends = endings(2, [&](Comm& comm) {
    const auto reducer = make_nccl_reducer(comm, comm.rank(), {.limit = milliseconds(200)});
    std::vector<float> values(10);
    reducer->begin(values.data(), values.size(), comm.size());
    reducer->finish(comm);
  });
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(200));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_THAT(ends, ::testing::Each(HasSubstr("did not end within 0.2 s")));
}

TEST_F(NcclReducerTest, ARankThatFailsBeforeItsLastBucketLeavesNobodyWaiting) {
  const auto ends = endings(3, [&](Comm& comm) {
    const auto reducer = make_nccl_reducer(comm, comm.rank(), {.bucket = 100});
    std::vector<float> values(1000);
    reducer->begin(values.data(), values.size(), 3);
    agree(comm, [&] {
      reducer->ready(500, 500);
      if (comm.rank() == 2) fail_internal("out of memory");
      reducer->ready(0, 500);
    });
    reducer->finish(comm);
  });
  EXPECT_THAT(ends, ::testing::Each(AllOf(HasSubstr("rank 2"), HasSubstr("out of memory"))));
  EXPECT_EQ(testing::aborted_communicators(), 3);
}

TEST_F(NcclReducerTest, ADeviceThatIsNotThereIsNamedOnAllRanks) {
  testing::refuse_device(1);
  const auto ends = endings(2, [&](Comm& comm) { make_nccl_reducer(comm, comm.rank()); });
  EXPECT_THAT(ends, ::testing::Each(HasSubstr("rank 1: cudaSetDevice: invalid device ordinal")));
}

TEST_F(NcclReducerTest, AnotherCommIsOurBug) {
  const auto comm = make_local_comm();
  const auto reducer = make_nccl_reducer(*comm, 0);
  const auto ends = endings(2, [&](Comm& other) {
    if (other.is_root()) reducer->finish(other);
  });
  EXPECT_THAT(ends[0], HasSubstr("set up for rank 0 of 1"));
}

}  // namespace
}  // namespace rocket
