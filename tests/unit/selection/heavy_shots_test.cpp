#include "selection/heavy_shots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Rows of perplexities.
BankScores scores_of(const std::vector<std::vector<double>>& perplexities) {
  BankScores scores;
  scores.shots = static_cast<std::int64_t>(perplexities.front().size());
  for (std::size_t row = 0; row < perplexities.size(); ++row) {
    scores.adapters.push_back(row == 0 ? "(base)" : "adapter-" + std::to_string(row));
    for (const double value : perplexities[row]) scores.nll.push_back(std::log(value));
  }
  const std::size_t bank = perplexities.size() - 1;
  scores.correct.assign(scores.nll.size(), 0);
  scores.similarity.assign(bank * bank, 0.5);
  return scores;
}

TEST(ExpMeanNll, IsTheGeometricMeanOfThePerplexities) {
  EXPECT_NEAR(exp_mean_nll(scores_of({{2, 8, 4}, {1, 1, 1}}), 0), 4, 1e-12);
}

TEST(HeavyShots, AreThoseThatMakeMoreThanHalfOfAMean) {
  // As seen on real shots: 249 of about 9, one of 14201. Their mean is 65.8, exp of the mean nll 9.27.
  std::vector<double> base(250, 9.0), even(250, 9.0);
  base[17] = 14201;
  const BankScores scores = scores_of({base, even, base});
  const auto heavy = heavy_shots(scores);
  ASSERT_EQ(heavy.size(), 1u);
  EXPECT_EQ(heavy[0].shot, 17);
  EXPECT_THAT(heavy[0].rows, ElementsAre(0, 2));
  const std::string said = describe(heavy[0], scores, "shot 17 (shots.jsonl:18)");
  EXPECT_THAT(
      said,
      HasSubstr("shot 17 (shots.jsonl:18) makes more than half of the mean perplexity of 2 of 3 systems"));
  EXPECT_THAT(said, HasSubstr("((base), adapter-2)"));
  EXPECT_THAT(
      said,
      HasSubstr("it makes 86 %: its perplexity is 1.42e+04, the mean 65.77, exp of the mean nll 9.269"));
}

TEST(HeavyShots, HalfIsNotMoreThanHalfAndTwoShotsAreTooFew) {
  EXPECT_TRUE(heavy_shots(scores_of({{1, 1, 2}, {5, 5, 5}})).empty());
  EXPECT_TRUE(heavy_shots(scores_of({{1, 100}, {100, 1}})).empty());
  EXPECT_EQ(heavy_shots(scores_of({{1, 1, 2.001}, {5, 5, 5}})).size(), 1u);
}

TEST(HeavyShots, AnInfinitePerplexityMakesAll) {
  BankScores scores = scores_of({{2, 2, 2}, {2, 2, 2}});
  scores.nll[4] = std::numeric_limits<double>::infinity();
  const auto heavy = heavy_shots(scores);
  ASSERT_EQ(heavy.size(), 1u);
  EXPECT_THAT(describe(heavy[0], scores, "shot 1"), HasSubstr("makes 100 %"));
  scores.nll[5] = scores.nll[4];
  EXPECT_TRUE(heavy_shots(scores).empty()) << "two are not one";
}

TEST(HeavyShots, AreNotedByTheChoiceOfExpertsWherePerplexityCounts) {
  const BankScores scores = scores_of({{2, 2, 2}, {2, 90, 2}, {3, 3, 3}});
  ExpertOptions options{.candidates = 2, .count = 1};
  EXPECT_THAT(choose_experts(scores, options).notes,
              ElementsAre(HasSubstr("shot 1 (from 0) of 3 makes more than half")));
  options.signals.perplexity = false;
  EXPECT_TRUE(choose_experts(scores, options).notes.empty());
}

}  // namespace
}  // namespace rocket
