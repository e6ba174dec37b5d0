#include "comm/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <numeric>

namespace rocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<int> cores(int first, int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

/// What the last rank is told, of ranks as threads of this host.
Placement placed(const std::vector<RankCores>& ranks) {
  Placement last;
  std::mutex mutex;
  run_on_threads(static_cast<int>(ranks.size()), [&](Comm& comm) {
    const Placement mine = place_ranks(comm, ranks[static_cast<std::size_t>(comm.rank())]);
    const std::lock_guard lock(mutex);
    if (comm.rank() + 1 == comm.size()) last = mine;
  });
  return last;
}

TEST(Placement, SaysHowManyRanksAndThreads) {
  const Placement four = placed(std::vector(4, RankCores{.allowed = cores(0, 64)}));
  EXPECT_EQ(four.summary, "4 ranks on 1 node, 16 threads each (a share of the cores)");
  EXPECT_EQ(four.threads, 16);
  EXPECT_EQ(four.rank_on_node, 3);
  EXPECT_EQ(four.ranks_on_node, 4);
  EXPECT_THAT(four.warnings, IsEmpty());
  EXPECT_EQ(placed({{.allowed = cores(0, 1)}}).summary, "1 rank on 1 node, 1 thread (the cores it may use)");
  EXPECT_THAT(placed(std::vector(2, RankCores{.allowed = cores(0, 3)})).summary,
              HasSubstr("1 to 2 threads each"));
}

TEST(Placement, ABindingThatLeavesCoresIdleIsSaidOnceWithTheWayOut) {
  const Placement two =
      placed({{.allowed = {0}, .launcher = cores(0, 64)}, {.allowed = {1}, .launcher = cores(0, 64)}});
  EXPECT_THAT(two.warnings, ElementsAre(testing::AllOf(HasSubstr("62 of 64 cores of "), HasSubstr("2 ranks"),
                                                       HasSubstr("`mpirun --bind-to none`"))));
  const Placement one = placed({{.allowed = {0}, .launcher = cores(0, 64)}});
  EXPECT_THAT(one.warnings, ElementsAre(HasSubstr("has bound its one rank to one core")));
}

TEST(Placement, OmpNumThreadsThatLeavesCoresIdleIsSaid) {
  const Placement two =
      placed(std::vector(2, RankCores{.allowed = cores(0, 32), .allotted = 32, .wanted = 1}));
  EXPECT_EQ(two.summary, "2 ranks on 1 node, 1 thread each (OMP_NUM_THREADS)");
  EXPECT_THAT(two.warnings,
              ElementsAre(testing::AllOf(HasSubstr("30 of 32 cores"), HasSubstr("OMP_NUM_THREADS is 1"),
                                         HasSubstr("Unset it"))));
}

}  // namespace
}  // namespace rocket
