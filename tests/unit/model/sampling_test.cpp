#include "model/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "base/error.h"

namespace rocket {
namespace {

const std::vector<float> kLogits = {0.5f, -1.0f, 2.0f, 2.0f, -30.0f, 1.25f};

std::map<std::int64_t, double> shares(const Sampling& sampling, std::int64_t texts) {
  std::map<std::int64_t, double> found;
  for (std::int64_t text = 0; text < texts; ++text)
    found[draw_token(kLogits, sampling, text, 3)] += 1.0 / static_cast<double>(texts);
  return found;
}

double weight(std::size_t id, double temperature) {
  return std::exp(kLogits[id] / temperature);
}

/// Within five standard deviations.
void expect_share(double found, double expected, double draws) {
  EXPECT_NEAR(found, expected, 5 * std::sqrt(expected * (1 - expected) / draws) + 1e-9);
}

TEST(Sampling, TokensComeAsOftenAsTheirProbabilitiesSay) {
  constexpr std::int64_t draws = 20000;
  for (const double temperature : {0.5, 1.0, 3.0}) {
    double sum = 0;
    for (std::size_t id = 0; id < kLogits.size(); ++id) sum += weight(id, temperature);
    auto found = shares({.temperature = temperature, .seed = 4}, draws);
    for (std::size_t id = 0; id < kLogits.size(); ++id)
      expect_share(found[static_cast<std::int64_t>(id)], weight(id, temperature) / sum, draws);
  }
}

TEST(Sampling, TheNucleusIsTheFewestLikeliestTokens) {
  // Probabilities: 0.1052, 0.0235, 0.4712 twice (ids 2 and 3 share it), ~0, ... in units of the sum of all.
  constexpr std::int64_t draws = 20000;
  auto two = shares({.temperature = 1, .top_p = 0.6, .seed = 4}, draws);
  EXPECT_EQ(two.size(), 2u);
  expect_share(two[2], 0.5, draws);
  expect_share(two[3], 0.5, draws);
  const auto one = shares({.temperature = 1, .top_p = 0.3, .seed = 4}, 500);
  EXPECT_THAT(one,
              testing::ElementsAre(testing::Pair(2, testing::DoubleNear(1, 1e-9))));  // of equals the lower
  auto three = shares({.temperature = 1, .top_p = 0.8, .seed = 4}, draws);
  EXPECT_EQ(three.size(), 3u);
  expect_share(three[5], weight(5, 1) / (weight(5, 1) + 2 * weight(2, 1)), draws);
}

/// More tokens than are put in order at once.
TEST(Sampling, ALargeNucleusIsExact) {
  std::vector<float> flat(1000, 0.0f);
  std::map<std::int64_t, int> found;
  for (std::int64_t text = 0; text < 20000; ++text)
    ++found[draw_token(flat, {.temperature = 1, .top_p = 0.7005}, text, 0)];
  EXPECT_EQ(found.rbegin()->first, 700);  // 701 tokens reach 0.7005
  EXPECT_EQ(found.size(), 701u);
}

TEST(Sampling, DrawsDependOnSeedTextAndPositionAlone) {
  const Sampling sampling{.temperature = 2, .seed = 9};
  int by_seed = 0, by_text = 0, by_position = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    const std::int64_t token = draw_token(kLogits, sampling, i, i + 1);
    EXPECT_EQ(token, draw_token(kLogits, sampling, i, i + 1));
    by_seed += token != draw_token(kLogits, {.temperature = 2, .seed = 10}, i, i + 1);
    by_text += token != draw_token(kLogits, sampling, i + 1000, i + 1);
    by_position += token != draw_token(kLogits, sampling, i, i + 1001);
  }
  EXPECT_GT(std::min({by_seed, by_text, by_position}), 80);
}

TEST(Sampling, NoTokenIsDrawnWhereALogitIsNoNumber) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> logits = {1.0f, bad, 2.0f};
    EXPECT_THROW(draw_token(logits, {.temperature = 1}, 0, 0), Error);
    EXPECT_THROW(draw_token(logits, {.temperature = 1, .top_p = 0.5}, 0, 0), Error);
  }
}

TEST(Sampling, ACoolDrawIsTheLikeliestToken) {
  const std::vector<float> logits = {1.0f, 3.0f, 2.9f};
  for (std::int64_t text = 0; text < 50; ++text)
    EXPECT_EQ(draw_token(logits, {.temperature = 1e-3, .top_p = 0.5}, text, 0), 1);
}

}  // namespace
}  // namespace rocket
