#include "training/step_log.h"

#include <gtest/gtest.h>

#include <cmath>

namespace rocket {
namespace {

TEST(LoadEntropy, IsOneOfAnEvenLoadAndZeroOfOneExpert) {
  EXPECT_DOUBLE_EQ(load_entropy(std::vector<float>{0.5f, 0.5f}, std::vector<std::int64_t>{2}), 1);
  EXPECT_DOUBLE_EQ(load_entropy(std::vector<float>{0, 1}, std::vector<std::int64_t>{2}), 0);
  // Two of three experts adapt the first weight, one the second, three the third.
  const std::vector<float> load{0.25f, 0, 0.75f, 0, 1, 0, 0.5f, 0.5f, 0};
  const double first = -(0.25 * std::log(0.25) + 0.75 * std::log(0.75)) / std::log(2.0),
               third = std::log(2.0) / std::log(3.0);
  EXPECT_NEAR(load_entropy(load, std::vector<std::int64_t>{2, 1, 3}), (first + third) / 2, 1e-12);
  EXPECT_EQ(load_entropy(std::vector<float>{1}, std::vector<std::int64_t>{1}), 0);
}

std::vector<StepLog> losses(const std::vector<double>& values) {
  std::vector<StepLog> log;
  for (const double v : values) log.push_back({.loss = v});
  return log;
}

TEST(SpikeScore, CountsStandardDeviationsOfTheLast128) {
  std::vector<double> values(31, 1.0);
  EXPECT_FALSE(spike_score(losses(values), 100).has_value()) << "too few";
  values.push_back(1.0);
  EXPECT_FALSE(spike_score(losses(values), 100).has_value()) << "they do not differ";
  values.assign(100, 50.0);  // out of the window
  for (int i = 0; i < 64; ++i) values.insert(values.end(), {1.0, 3.0});
  const double deviation = std::sqrt(128.0 / 127.0);
  EXPECT_NEAR(*spike_score(losses(values), 7), 5 / deviation, 1e-12);
  EXPECT_NEAR(*spike_score(losses(values), 1), -1 / deviation, 1e-12);
}

}  // namespace
}  // namespace rocket
