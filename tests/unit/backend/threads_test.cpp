#include "backend/threads.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace rocket {
namespace {

class EvenStep : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { at::set_num_threads(GetParam()); }
  void TearDown() override { at::set_num_threads(1); }
};

TEST_P(EvenStep, GivesEveryThreadAsManyPiecesOfWholeUnits) {
  const std::int64_t threads = GetParam();
  for (const std::int64_t unit : {1, 12, 32}) {
    const std::int64_t most = 8 * unit;
    for (const std::int64_t count : {1, 31, 32, 768, 2093, 11008}) {
      const std::int64_t step = even_step(count, most, unit), pieces = (count + step - 1) / step;
      EXPECT_EQ(step % unit, 0);
      EXPECT_LE(step, most);
      EXPECT_GE(pieces * most, count);
      const std::int64_t rounds = (pieces + threads - 1) / threads;  // of the busiest thread
      EXPECT_LE(rounds * step * threads, count + rounds * unit * threads)
          << count << " in pieces of " << step << " on " << threads << " threads";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, EvenStep, testing::Values(1, 2, 3, 16));

TEST(EvenStepOfKnownSizes, IsAsWorkedOutByHand) {
  at::set_num_threads(2);
  EXPECT_EQ(even_step(768, 256, 32), 192) << "three pieces of 256 would leave a thread without work";
  EXPECT_EQ(even_step(2093, 120, 12), 120);
  EXPECT_EQ(even_step(0, 120, 12), 12);
  at::set_num_threads(1);
  EXPECT_EQ(even_step(768, 256, 32), 256);
}

}  // namespace
}  // namespace rocket
