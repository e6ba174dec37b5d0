#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "support.h"

namespace rocket {
namespace {

using test::Floats;

Floats random_floats(std::int64_t count, unsigned seed) {
  return test::random_floats(count, seed, 2, 0.5f);
}

class EncoderKernelsTest : public test::EachSetTest {};

INSTANTIATE_TEST_SUITE_P(Sets, EncoderKernelsTest, test::kEverySet,
                         [](const auto& info) { return std::string(info.param); });

Floats layer_norm(const Floats& a, const Floats& b, const Floats& c, const Floats& weight,
                  const Floats& shift) {
  std::vector<double> x(a.size());
  double mean = 0, variance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) mean += x[i] = double{a[i]} + double{b[i]} + double{c[i]};
  mean /= static_cast<double>(x.size());
  for (const double v : x) variance += (v - mean) * (v - mean);
  variance /= static_cast<double>(x.size());
  Floats out;
  for (std::size_t i = 0; i < x.size(); ++i)
    out.push_back(static_cast<float>((x[i] - mean) / std::sqrt(variance + 1e-12) * double{weight[i]} +
                                     double{shift[i]}));
  return out;
}

TEST_P(EncoderKernelsTest, TheNormOfASumAgreesWithFloat64) {
  for (const std::int64_t width : {2, 7, 16, 31, 64, 384, 1023}) {
    const Floats b = random_floats(width, 2), c = random_floats(width, 3), weight = random_floats(width, 4),
                 shift = random_floats(width, 5);
    Floats a = random_floats(width, 1);
    const Floats expected = layer_norm(a, b, c, weight, shift);
    k->sum_norm({a.data(), b.data(), c.data(), weight.data(), shift.data(), 1e-12f, width, a.data()});
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], expected[i], 2e-5) << width << " at " << i;
  }
}

/// x Phi(x) by erfc, which keeps the digits of the left tail.
double gelu(double x) {
  return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
}

double gelu_tanh(double x) {
  return x / (1 + std::exp(-2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

TEST_P(EncoderKernelsTest, GeluAgreesWithFloat64) {
  const std::int64_t count = 12011;
  Floats x, zeros(count, 0.0f);
  for (std::int64_t i = 0; i < count; ++i) x.push_back(static_cast<float>(i - 6000) * 0.002f);
  for (const auto& [function, exact] :
       {std::pair{k->gelu_of_sum, &gelu}, std::pair{k->gelu_tanh_of_sum, &gelu_tanh}}) {
    Floats y = x;
    function(y.data(), zeros.data(), count);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double expected = exact(double{x[i]});
      ASSERT_NEAR(y[i], expected, 5e-6 * std::abs(expected) + 1e-12) << x[i];
    }
  }
  Floats far{-1000.0f, -88.0f, 88.0f, 1000.0f}, none(4, 0.0f);
  k->gelu_of_sum(far.data(), none.data(), 4);
  EXPECT_EQ(far, (Floats{0, 0, 88, 1000}));
}

TEST_P(EncoderKernelsTest, TheNormOfARowAgreesWithFloat64) {
  for (const std::int64_t width : {2, 7, 16, 31, 64, 384, 1023}) {
    const Floats x = random_floats(width, 1), none(x.size(), 0.0f), weight = random_floats(width, 4),
                 shift = random_floats(width, 5);
    Floats y(x.size());
    k->layer_norm(x.data(), weight.data(), shift.data(), 1e-12f, width, y.data());
    const Floats expected = layer_norm(x, none, none, weight, shift);
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 2e-5) << width << " at " << i;
  }
}

TEST_P(EncoderKernelsTest, AGateIsMultipliedWithItsActivation) {
  const std::int64_t count = 77;
  const Floats gate = random_floats(count, 1), up = random_floats(count, 2);
  for (const auto& [kernel, exact] : {std::pair{k->gelu, &gelu}, std::pair{k->gelu_tanh, &gelu_tanh}}) {
    Floats alone = gate, gated = gate;
    kernel.forward(alone.data(), nullptr, count);
    kernel.forward(gated.data(), up.data(), count);
    for (std::size_t i = 0; i < gate.size(); ++i) {
      ASSERT_NEAR(alone[i], exact(double{gate[i]}), 2e-6) << gate[i];
      ASSERT_NEAR(gated[i], exact(double{gate[i]}) * double{up[i]}, 4e-6) << gate[i];
    }
  }
}

TEST_P(EncoderKernelsTest, ACapBendsNumbersAsTanhDoes) {
  for (const Squash& by : {Squash{1, 30}, Squash{0.3f, 2}, Squash{2.5f, 0}}) {
    Floats x;
    for (int i = -400; i <= 400; ++i) x.push_back(static_cast<float>(i) * 0.25f);
    Floats y = x, slopes(x.size(), 1.0f);
    k->squash(y.data(), static_cast<std::int64_t>(y.size()), by);
    k->squash_backward(y.data(), static_cast<std::int64_t>(y.size()), by, slopes.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double scaled = double{x[i]} * double{by.scale}, share = std::tanh(scaled / double{by.cap});
      const double expected = by.cap > 0 ? double{by.cap} * share : scaled;
      ASSERT_NEAR(y[i], expected, 1e-6 * std::abs(expected)) << x[i];
      ASSERT_NEAR(slopes[i], double{by.scale} * (by.cap > 0 ? 1 - share * share : 1), 3e-6) << x[i];
    }
  }
}

TEST_P(EncoderKernelsTest, ARowDoesNotDependOnItsNeighbours) {
  const std::int64_t width = 37;
  Floats rows = random_floats(3 * width, 7), bias = random_floats(width, 8);
  Floats alone(rows.begin() + width, rows.begin() + 2 * width);
  for (std::int64_t i = 0; i < 3; ++i) k->gelu_of_sum(rows.data() + i * width, bias.data(), width);
  k->gelu_of_sum(alone.data(), bias.data(), width);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), rows.begin() + width));
}

}  // namespace
}  // namespace rocket
