#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "support.h"

namespace rocket {
namespace {

using Doubles = std::vector<double>;

template <class Stored>
void compute(const Kernels& k, const GramBlock<Stored>& block) {
  if constexpr (std::is_same_v<Stored, float>) {
    k.gram_of_floats(block);
  } else {
    k.gram_of_doubles(block);
  }
}

/// A matrix [rows, inner] of values of very different sizes, plain and in panels.
template <class Stored>
struct Matrix {
  Matrix(std::int64_t rows_, std::int64_t inner_, unsigned seed)
      : rows(rows_),
        inner(inner_),
        panels(static_cast<std::size_t>(gram_panels(rows) * kGramPanel * inner), Stored{0}) {
    std::mt19937 generator(seed);
    std::normal_distribution<Stored> normal;
    for (std::int64_t i = 0; i < rows * inner; ++i)
      plain.push_back(normal(generator) * static_cast<Stored>(std::exp2(i % 7)));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < inner; ++k) {
        panels[static_cast<std::size_t>((r / kGramPanel * inner + k) * kGramPanel + r % kGramPanel)] =
            at(r, k);
      }
    }
  }
  Stored at(std::int64_t r, std::int64_t k) const { return plain[static_cast<std::size_t>(r * inner + k)]; }
  std::int64_t rows, inner;
  std::vector<Stored> plain, panels;
};

template <class Stored>
Doubles gram(const Kernels& k, const Matrix<Stored>& a, const Matrix<Stored>& b) {
  const std::int64_t rows = gram_panels(a.rows), columns = gram_panels(b.rows);
  Doubles out(static_cast<std::size_t>(rows * columns * kGramPanel * kGramPanel), -7);
  Doubles scratch(static_cast<std::size_t>(gram_scratch(rows)));
  compute(k, GramBlock<Stored>{a.inner, a.panels.data(), rows, b.panels.data(), columns, out.data(),
                               scratch.data()});
  return out;
}

/// {a . b, |a| . |b|}, in long double.
template <class Stored>
std::pair<long double, long double> dot(const Matrix<Stored>& a, std::int64_t row, const Matrix<Stored>& b,
                                        std::int64_t column) {
  long double sum = 0, sizes = 0;
  for (std::int64_t k = 0; k < a.inner; ++k) {
    const long double term =
        static_cast<long double>(a.at(row, k)) * static_cast<long double>(b.at(column, k));
    sum += term;
    sizes += std::abs(term);
  }
  return {sum, sizes};
}

/// Every instruction set that this machine has.
class GramTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    k = kernels_named(GetParam());
    if (k == nullptr) GTEST_SKIP() << "this machine has no " << GetParam();
  }

  template <class Stored>
  void expect_products(const Matrix<Stored>& a, const Matrix<Stored>& b) const {
    const Doubles out = gram(*k, a, b);
    for (std::int64_t i = 0; i < a.rows; ++i) {
      for (std::int64_t j = 0; j < b.rows; ++j) {
        const auto [expected, sizes] = dot(a, i, b, j);
        const double found = out[static_cast<std::size_t>(i * gram_panels(b.rows) * kGramPanel + j)];
        const double unit = std::numeric_limits<double>::epsilon() / 2;
        ASSERT_NEAR(found, static_cast<double>(expected),
                    static_cast<double>(a.inner) * unit * static_cast<double>(sizes))
            << a.rows << " x " << a.inner << " x " << b.rows << " at " << i << " " << j;
      }
    }
  }

  const Kernels* k = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Sets, GramTest, test::kEverySet,
                         [](const auto& info) { return std::string(info.param); });

TEST_P(GramTest, ProductsOfEveryShapeAreWithinTheBoundOfOneSum) {
  for (const auto& [rows, inner, columns] : std::vector<std::array<std::int64_t, 3>>{
           {1, 1, 1}, {1, 127, 30}, {24, 128, 24}, {25, 129, 7}, {60, 300, 100}, {3, 5000, 2}}) {
    expect_products(Matrix<float>(rows, inner, 1), Matrix<float>(columns, inner, 2));
    expect_products(Matrix<double>(rows, inner, 3), Matrix<double>(columns, inner, 4));
  }
}

TEST_P(GramTest, OfAMatrixWithItselfLeavesOutWhatLiesBelowTheDiagonal) {
  const Matrix<float> a(70, 200, 5), copy = a;
  const Doubles half = gram(*k, a, a), whole = gram(*k, a, copy);
  const std::int64_t size = gram_panels(a.rows) * kGramPanel;
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = 0; j < size; ++j) {
      const auto at = static_cast<std::size_t>(i * size + j);
      ASSERT_EQ(half[at], j / kGramPanel < i / kGramPanel ? -7 : whole[at]) << i << " " << j;
    }
  }
}

TEST_P(GramTest, APairHasTheSameBitsInAnyCompany) {
  const Matrix<double> a(50, 333, 6), b(75, 333, 7);
  const Doubles all = gram(*k, a, b);
  for (const std::int64_t row : {0, 23, 24, 49}) {
    for (const std::int64_t column : {0, 31, 74}) {
      Matrix<double> one(1, 333, 0), other(1, 333, 0);
      for (std::int64_t n = 0; n < 333; ++n) {
        one.panels[static_cast<std::size_t>(n * kGramPanel)] = a.at(row, n);
        other.panels[static_cast<std::size_t>(n * kGramPanel)] = b.at(column, n);
      }
      EXPECT_EQ(gram(*k, one, other)[0], all[static_cast<std::size_t>(row * 4 * kGramPanel + column)]);
    }
  }
}

/// The bits of one loop over k: of float32 values in every set, since their products are exact in float64; of
/// float64 ones in those with fused multiply-add.
TEST_P(GramTest, HasTheBitsOfASumInOrder) {
  const Matrix<float> a(30, 1000, 8), b(20, 1000, 9);
  const Matrix<double> c(30, 1000, 10), d(20, 1000, 11);
  const Doubles narrow = gram(*k, a, b), wide = gram(*k, c, d);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < b.rows; ++j) {
      double of_floats = 0, of_doubles = 0;
      for (std::int64_t n = 0; n < a.inner; ++n) {
        of_floats += static_cast<double>(a.at(i, n)) * static_cast<double>(b.at(j, n));
        of_doubles = std::fma(c.at(i, n), d.at(j, n), of_doubles);
      }
      const auto at = static_cast<std::size_t>(i * kGramPanel + j);
      ASSERT_EQ(narrow[at], of_floats) << i << " " << j;
      if (std::string(k->name) != "portable") {
        ASSERT_EQ(wide[at], of_doubles) << i << " " << j;
      }
    }
  }
}

}  // namespace
}  // namespace rocket
