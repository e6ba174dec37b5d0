#include "selection/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rocket {
namespace {

/// Three adapters on two shots with these perplexities and hits.
BankScores scores_of(std::vector<double> perplexities, std::vector<std::uint8_t> correct) {
  BankScores scores;
  scores.adapters = {"(base)", "a", "b", "c"};
  scores.shots = 2;
  scores.nll = {0, 0};
  for (double perplexity : perplexities) {
    scores.nll.push_back(std::isinf(perplexity) ? 1e6 : std::log(perplexity));  // an nll is finite
  }
  scores.correct = {1, 1};
  scores.correct.insert(scores.correct.end(), correct.begin(), correct.end());
  scores.similarity.assign(9, 0.5);
  return scores;
}

TEST(Bootstrap, TellsClearFromUnclear) {
  // b is worse on both shots; c is worse by 1 on one and better by 0.5 on the other: it holds up in a quarter
  // of the sets, those that take the second shot twice.
  const auto shares = compare_with_best(scores_of({2, 2, 3, 3, 3, 1.5}, {1, 1, 0, 0, 1, 0}), 7, 20'000);
  EXPECT_EQ(shares[0].perplexity, 1);
  EXPECT_EQ(shares[1].perplexity, 0);
  EXPECT_NEAR(shares[2].perplexity, 0.25, 0.013);
  EXPECT_EQ(shares[0].accuracy, 1);
  EXPECT_EQ(shares[1].accuracy, 0);
  EXPECT_NEAR(shares[2].accuracy, 0.25, 0.013);
}

TEST(Bootstrap, EqualsHoldUpAlways) {
  for (const BootstrapShare& share :
       compare_with_best(scores_of({2, 3, 2, 3, 2, 3}, {1, 0, 1, 0, 1, 0}), 1)) {
    EXPECT_EQ(share.perplexity, 1);
    EXPECT_EQ(share.accuracy, 1);
  }
}

TEST(Bootstrap, InfinitePerplexitiesAreLosses) {
  const double infinite = std::numeric_limits<double>::infinity();
  const auto shares =
      compare_with_best(scores_of({2, 2, infinite, 2, infinite, infinite}, {1, 1, 1, 1, 1, 1}), 1, 20'000);
  EXPECT_NEAR(shares[1].perplexity, 0.25, 0.013);  // the sets without the first shot
  EXPECT_EQ(shares[2].perplexity, 0);
  for (const BootstrapShare& share :
       compare_with_best(scores_of({infinite, 2, infinite, 2, infinite, 2}, {1, 1, 1, 1, 1, 1}), 1)) {
    EXPECT_EQ(share.perplexity, 1);
  }
}

TEST(Bootstrap, DependsOnTheSeedOnly) {
  const BankScores scores = scores_of({2, 2, 3, 1.5, 3, 1.5}, {1, 1, 0, 1, 1, 0});
  EXPECT_EQ(compare_with_best(scores, 3)[1].perplexity, compare_with_best(scores, 3)[1].perplexity);
  EXPECT_NE(compare_with_best(scores, 3)[1].perplexity, compare_with_best(scores, 4)[1].perplexity);
}

}  // namespace
}  // namespace rocket
