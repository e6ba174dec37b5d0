#include "statistics/significance.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "reference.h"
#include "statistics/binomial.h"

namespace rocket {
namespace {

TEST(McNemar, AgreesWithStatsmodels) {
  for (const auto& c : reference("mcnemar")) {
    const double expected = c["p"];
    EXPECT_NEAR(mcnemar_exact(c["only_a"], c["only_b"]), expected, 1e-9 * expected) << c;
  }
}

TEST(McNemar, HoldsItsLevelWhereThereIsNoEffect) {
  // The chance of p < 0.05 where each discordant item falls to either side alike, over all outcomes.
  for (const std::int64_t discordant : {1, 5, 6, 20, 37, 100, 1001}) {
    double size = 0;
    for (std::int64_t a = 0; a <= discordant; ++a)
      if (mcnemar_exact(a, discordant - a) < 0.05) size += std::exp(log_binomial(a, discordant, 0.5));
    EXPECT_LE(size, 0.05) << discordant;
    if (discordant >= 100) {
      EXPECT_GT(size, 0.03) << discordant;
    }
  }
}

TEST(Holm, AgreesWithStatsmodels) {
  for (const auto& c : reference("holm")) {
    const std::vector<double> found = holm(c["p"].get<std::vector<double>>());
    const auto expected = c["corrected"].get<std::vector<double>>();
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-14);
  }
  EXPECT_TRUE(holm({}).empty());
}

TEST(Holm, IsWrongForAnyOfAFamilyInAtMostItsLevel) {
  int wrong = 0;
  constexpr int families = 2000, size = 10;
  for (std::uint64_t family = 0; family < families; ++family) {
    std::vector<double> p;
    for (std::uint64_t i = 0; i < size; ++i) p.push_back(uniform(3, stream("test"), family * size + i));
    wrong += std::ranges::min(holm(p)) < 0.05;
  }
  EXPECT_LE(wrong, 0.065 * families);  // three standard errors above
  EXPECT_GE(wrong, 0.035 * families);
}

}  // namespace
}  // namespace rocket
