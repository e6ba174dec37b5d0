#include "kernels/kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support.h"

namespace rocket {
namespace {

using test::Floats;
using test::random_floats;

class KernelsTest : public test::EachSetTest {
 protected:
  Floats packed(const Floats& weight, std::int64_t columns, std::int64_t inner) const {
    Floats result(static_cast<std::size_t>(packed_size(columns, inner)), 0.0f);
    k->pack(weight.data(), columns, inner, inner, result.data());
    return result;
  }
};

INSTANTIATE_TEST_SUITE_P(Sets, KernelsTest, test::kEverySet,
                         [](const auto& info) { return std::string(info.param); });

double dot(const float* a, const float* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

TEST_P(KernelsTest, ProductsOfEveryShapeAgreeWithFloat64) {
  for (const auto& [rows, inner, columns] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                                     {1, 7, 5},
                                                                                     {2, 600, 300},
                                                                                     {3, 16, 17},
                                                                                     {5, 33, 64},
                                                                                     {7, 1100, 31},
                                                                                     {12, 64, 96},
                                                                                     {13, 64, 130},
                                                                                     {130, 40, 48},
                                                                                     {251, 513, 70}}) {
    const Floats x = random_floats(rows * inner, 1), w = random_floats(columns * inner, 2);
    const Floats right = packed(w, columns, inner);
    Floats out(static_cast<std::size_t>(rows * columns), -7.0f);
    k->multiply({rows,
                 inner,
                 columns,
                 x.data(),
                 inner,
                 {right.data(), kPanel, inner * kPanel},
                 out.data(),
                 columns,
                 false});
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      const double expected = dot(&x[static_cast<std::size_t>(i / columns * inner)],
                                  &w[static_cast<std::size_t>(i % columns * inner)], inner);
      ASSERT_NEAR(out[static_cast<std::size_t>(i)], expected,
                  1e-5 * std::sqrt(static_cast<double>(inner)) + 1e-5)
          << rows << " x " << inner << " x " << columns << " at " << i;
    }
  }
}

TEST_P(KernelsTest, ARowHasTheSameBitsInAnyCompany) {
  const std::int64_t rows = 131, inner = 700, columns = 150;
  const Floats x = random_floats(rows * inner, 3),
               right = packed(random_floats(columns * inner, 4), columns, inner);
  const auto multiply = [&](std::int64_t first, std::int64_t count) {
    Floats out(static_cast<std::size_t>(count * columns));
    k->multiply({count,
                 inner,
                 columns,
                 &x[static_cast<std::size_t>(first * inner)],
                 inner,
                 {right.data(), kPanel, inner * kPanel},
                 out.data(),
                 columns,
                 false});
    return out;
  };
  const Floats all = multiply(0, rows);
  for (const std::int64_t count : {1, 2, 3, 4, 6, 11, 12, 13, 25, 121}) {
    const Floats some = multiply(5, count);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 5 * columns)) << count << " rows";
  }
}

TEST_P(KernelsTest, AProductAddsToWhatIsThereAndLeavesTheRestAlone) {
  const std::int64_t rows = 9, inner = 20, columns = 21, stride = 40;
  const Floats x = random_floats(rows * inner, 5);
  Floats b = random_floats(inner * columns + kReadAhead, 6),
         out(static_cast<std::size_t>(rows * stride), 1.0f);
  k->multiply({rows, inner, columns, x.data(), inner, {b.data(), columns, kPanel}, out.data(), stride, true});
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < stride; ++j) {
      double expected = 1;
      for (std::int64_t n = 0; n < inner && j < columns; ++n) {
        expected += static_cast<double>(x[static_cast<std::size_t>(i * inner + n)]) *
                    static_cast<double>(b[static_cast<std::size_t>(n * columns + j)]);
      }
      ASSERT_NEAR(out[static_cast<std::size_t>(i * stride + j)], expected, 5e-5) << i << " " << j;
    }
  }
}

/// One head's attention in float64.
Floats attention_in_double(const Floats& q, const Floats& keys, const Floats& values, std::int64_t positions,
                           std::int64_t fresh, std::int64_t dim, std::int64_t window, bool causal) {
  Floats out(static_cast<std::size_t>(fresh * dim));
  for (std::int64_t l = 0; l < fresh; ++l) {
    const std::int64_t at = positions - fresh + l, until = causal ? at + 1 : positions;
    const std::int64_t from = window > 0 ? std::max<std::int64_t>(0, at + 1 - window) : 0;
    std::vector<double> p(static_cast<std::size_t>(positions), 0);
    double sum = 0;
    for (std::int64_t m = from; m < until; ++m) {
      p[static_cast<std::size_t>(m)] =
          std::exp(dot(&q[static_cast<std::size_t>(l * dim)], &keys[static_cast<std::size_t>(m * dim)], dim) /
                   std::sqrt(static_cast<double>(dim)));
      sum += p[static_cast<std::size_t>(m)];
    }
    for (std::int64_t i = 0; i < dim; ++i) {
      double mixed = 0;
      for (std::int64_t m = from; m < until; ++m) {
        mixed += p[static_cast<std::size_t>(m)] / sum *
                 static_cast<double>(values[static_cast<std::size_t>(m * dim + i)]);
      }
      out[static_cast<std::size_t>(l * dim + i)] = static_cast<float>(mixed);
    }
  }
  return out;
}

TEST_P(KernelsTest, AttentionAgreesWithFloat64AndWithItselfRowByRow) {
  for (const auto& [positions, dim, window, causal] :
       std::vector<std::tuple<std::int64_t, std::int64_t, std::int64_t, bool>>{{1, 4, 0, true},
                                                                               {33, 8, 0, true},
                                                                               {70, 20, 0, true},
                                                                               {70, 32, 5, true},
                                                                               {90, 64, 40, true},
                                                                               {50, 16, 0, false}}) {
    const std::int64_t capacity = (positions + kPanel - 1) / kPanel * kPanel;
    const Floats q = random_floats(positions * dim, 7), keys = random_floats(positions * dim, 8);
    Floats values = random_floats(positions * dim, 9),
           turned(static_cast<std::size_t>(dim * capacity), std::numeric_limits<float>::quiet_NaN());
    for (std::int64_t m = 0; m < positions; ++m) {
      for (std::int64_t i = 0; i < dim; ++i) {
        turned[static_cast<std::size_t>(key_place(m, i, dim))] = keys[static_cast<std::size_t>(m * dim + i)];
      }
    }
    const Floats expected = attention_in_double(q, keys, values, positions, positions, dim, window, causal);
    values.resize(values.size() + kReadAhead, std::numeric_limits<float>::quiet_NaN());
    Floats scratch(static_cast<std::size_t>(attention_scratch(positions)));
    const auto attend = [&](std::int64_t first, std::int64_t fresh) {
      Floats out(static_cast<std::size_t>(fresh * dim));
      k->attend({fresh,
                 first,
                 1,
                 dim,
                 window,
                 causal,
                 {1.0f / std::sqrt(static_cast<float>(dim))},
                 &q[static_cast<std::size_t>(first * dim)],
                 out.data(),
                 dim,
                 turned.data(),
                 values.data(),
                 dim,
                 scratch.data()});
      return out;
    };
    const Floats whole = attend(0, positions);
    for (std::size_t i = 0; i < whole.size(); ++i)
      ASSERT_NEAR(whole[i], expected[i], 2e-6) << positions << " at " << i;
    if (!causal) continue;
    for (std::int64_t row = 0; row < positions; ++row) {
      const Floats alone = attend(row, 1);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), whole.begin() + row * dim)) << "row " << row;
    }
  }
}

TEST_P(KernelsTest, NormActivationAndRotationAgreeWithFloat64) {
  for (const std::int64_t width : {1, 8, 15, 128, 200}) {
    const Floats x = random_floats(width, 10, 3), w = random_floats(width, 11), up = random_floats(width, 12);
    Floats out(static_cast<std::size_t>(width)), gate = x;
    k->rms_norm(x.data(), w.data(), 1e-6f, width, out.data());
    k->silu.forward(gate.data(), up.data(), width);
    const double scale = 1 / std::sqrt(dot(x.data(), x.data(), width) / static_cast<double>(width) + 1e-6);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double xi = x[i];
      EXPECT_NEAR(out[i], xi * scale * static_cast<double>(w[i]), 2e-6 * (1 + std::abs(xi)));
      EXPECT_NEAR(gate[i], xi / (1 + std::exp(-xi)) * static_cast<double>(up[i]), 2e-6 * (1 + std::abs(xi)));
    }
  }
  Floats head = {1, 2, 3, 4};
  const Floats cos = {0.5f, 0}, sin = {2, 1};
  k->rotate(head.data(), cos.data(), sin.data(), 2);
  EXPECT_THAT(head, testing::ElementsAre(0.5f - 6, -4, 1.5f + 2, 2));
}

TEST_P(KernelsTest, ExtremeActivationsStayFinite) {
  Floats gate = {-1000, -90, -50, 0, 50, 90, 1000}, up(7, 2.0f);
  k->silu.forward(gate.data(), up.data(), 7);
  EXPECT_THAT(gate, testing::Each(testing::Truly([](float x) { return std::isfinite(x); })));
  EXPECT_EQ(gate.back(), 2000);
  EXPECT_NEAR(gate.front(), 0, 1e-30);
}

TEST_P(KernelsTest, LogSumOverChunksAgreesWithFloat64) {
  const Floats logits = random_floats(1456, 13, 20);
  LogSumExp state;
  for (std::size_t first = 0; first < logits.size(); first += 500) {
    k->add_logits(&logits[first],
                  static_cast<std::int64_t>(std::min<std::size_t>(500, logits.size() - first)), state);
  }
  const double top = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - top);
  EXPECT_NEAR(std::log(state.sum) + state.most, std::log(sum) + top, 5e-6);
}

TEST_P(KernelsTest, TheBestIsTheLowestIndexOfTheLargest) {
  Floats logits(100, -1.0f);
  logits[40] = logits[41] = logits[77] = 3;
  Best best;
  k->find_best(logits.data(), 30, 0, best);
  EXPECT_EQ(best.index, 0);
  k->find_best(&logits[30], 30, 30, best);
  k->find_best(&logits[60], 40, 60, best);
  EXPECT_EQ(best.index, 40);
  EXPECT_EQ(best.value, 3);
}

TEST(Kernels, TheSetsWithFusedMultiplyAddGiveTheSameBits) {
  const Kernels *narrow = kernels_named("avx2"), *wide = kernels_named("avx512");
  if (narrow == nullptr || wide == nullptr) GTEST_SKIP() << "this machine lacks one of them";
  const std::int64_t rows = 40, inner = 300, columns = 70;
  const Floats x = random_floats(rows * inner, 14), w = random_floats(columns * inner, 15);
  Floats right(static_cast<std::size_t>(packed_size(columns, inner)));
  wide->pack(w.data(), columns, inner, inner, right.data());
  Floats a(static_cast<std::size_t>(rows * columns)), b = a;
  wide->multiply({rows,
                  inner,
                  columns,
                  x.data(),
                  inner,
                  {right.data(), kPanel, inner * kPanel},
                  a.data(),
                  columns,
                  false});
  narrow->multiply({rows,
                    inner,
                    columns,
                    x.data(),
                    inner,
                    {right.data(), kPanel, inner * kPanel},
                    b.data(),
                    columns,
                    false});
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace rocket
