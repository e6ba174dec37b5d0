#include "base/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace rocket {
namespace {

using ::testing::ElementsAre;

// The known answers of Random123 (kat_vectors, philox4x32 10).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_THAT(philox(0, 0, 0), ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(philox(~0ull, ~0ull, ~0ull), ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(philox(0x299f31d0a4093822ull, 0x0370734413198a2eull, 0x85a308d3243f6a88ull),
              ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

TEST(Uniform, LiesInTheHalfOpenIntervalWithTheRightMoments) {
  const int n = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double x = uniform(1, stream("test"), static_cast<std::uint64_t>(i));
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
    squares += x * x;
  }
  // Five standard errors.
  EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(squares / n, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / n));
}

TEST(Uniform, DependsOnSeedStreamAndIndex) {
  const std::set<double> all{uniform(1, stream("a"), 0), uniform(2, stream("a"), 0),
                             uniform(1, stream("b"), 0), uniform(1, stream("a"), 1)};
  EXPECT_EQ(all.size(), 4u);
  EXPECT_EQ(uniform(1, stream("a"), 7), uniform(1, stream("a"), 7));
}

TEST(Permutation, HoldsEveryNumberOnce) {
  auto order = permutation(1000, 3, stream("order"));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order, permutation(1000, 3, stream("order")));
  EXPECT_NE(order, permutation(1000, 4, stream("order")));
  std::sort(order.begin(), order.end());
  std::vector<std::int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(order, all);
  EXPECT_TRUE(permutation(0, 1, 2).empty());
}

// All six orders of three come up equally often, within five standard errors.
TEST(Permutation, IsUniform) {
  std::map<std::vector<std::int64_t>, int> counts;
  const int n = 6000;
  for (int seed = 0; seed < n; ++seed) {
    ++counts[permutation(3, static_cast<std::uint64_t>(seed), stream("order"))];
  }
  EXPECT_EQ(counts.size(), 6u);
  for (const auto& [order, count] : counts) {
    EXPECT_NEAR(count, n / 6.0, 5 * std::sqrt(n * 5.0 / 36));
  }
}

}  // namespace
}  // namespace rocket
