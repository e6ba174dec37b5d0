#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "support.h"

namespace rocket {
namespace {

using test::Floats;
using test::random_floats;

/// A matrix of bfloat16 values, its rows zero-filled to whole pairs.
struct Matrix {
  std::int64_t rows = 0, columns = 0, stride = 0;
  std::vector<Bfloat16Pair> pairs;

  const Bfloat16* values() const { return reinterpret_cast<const Bfloat16*>(pairs.data()); }
  double at(std::int64_t row, std::int64_t column) const {
    const auto bits = static_cast<std::uint32_t>(values()[row * stride + column]) << 16;
    return std::bit_cast<float>(bits);
  }
};

class Bfloat16Test : public test::EachSetTest {
 protected:
  Matrix random_matrix(std::int64_t rows, std::int64_t columns, unsigned seed) const {
    Matrix m{rows, columns, 2 * pairs_of(columns),
             std::vector<Bfloat16Pair>(static_cast<std::size_t>(rows * pairs_of(columns)))};
    const Floats x = random_floats(rows * columns, seed);
    for (std::int64_t r = 0; r < rows; ++r) {
      k->to_bfloat16(&x[static_cast<std::size_t>(r * columns)], columns,
                     reinterpret_cast<Bfloat16*>(m.pairs.data()) + r * m.stride);
    }
    return m;
  }

  static std::vector<Bfloat16Pair> room(std::int64_t columns, std::int64_t inner) {
    return std::vector<Bfloat16Pair>(static_cast<std::size_t>(packed_size(columns, pairs_of(inner))));
  }

  /// x w^T of some rows of x.
  template <class Sum>
  std::vector<Sum> multiply(const Matrix& x, const Matrix& w, std::int64_t first, std::int64_t rows,
                            std::vector<Sum> out = {}) const {
    std::vector<Bfloat16Pair> right = room(w.rows, w.columns);
    k->pack_pairs(w.values(), w.rows, w.columns, w.stride, right.data());
    const std::int64_t inner = pairs_of(x.columns);
    const bool add = !out.empty();
    out.resize(static_cast<std::size_t>(rows * w.rows));
    const ProductOf<Bfloat16Pair, Sum> p{rows,       inner,
                                         w.rows,     x.pairs.data() + first * inner,
                                         inner,      {right.data(), kPanel, inner * kPanel},
                                         out.data(), w.rows,
                                         add};
    if constexpr (std::is_same_v<Sum, float>) {
      k->multiply_pairs(p);
    } else {
      k->multiply_bfloat16(p);
    }
    return out;
  }

  Floats widened(const std::vector<Bfloat16>& x) const {
    Floats out(x.size());
    k->to_float(x.data(), static_cast<std::int64_t>(x.size()), out.data());
    return out;
  }
};

INSTANTIATE_TEST_SUITE_P(Sets, Bfloat16Test, test::kEverySet,
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Bfloat16Test, ProductsOfEveryShapeAgreeWithFloat64) {
  for (const auto& [rows, inner, columns] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                                     {1, 7, 5},
                                                                                     {2, 600, 300},
                                                                                     {3, 16, 17},
                                                                                     {7, 3301, 31},
                                                                                     {12, 64, 96},
                                                                                     {13, 65, 530},
                                                                                     {121, 4096, 257},
                                                                                     {251, 1030, 70}}) {
    const Matrix x = random_matrix(rows, inner, 1), w = random_matrix(columns, inner, 2);
    const Floats sums = multiply<float>(x, w, 0, rows);
    const std::vector<Bfloat16> start(sums.size(), static_cast<Bfloat16>(0x4040));  // 3
    const Floats rounded = widened(multiply<Bfloat16>(x, w, 0, rows)),
                 added = widened(multiply<Bfloat16>(x, w, 0, rows, start));
    const double tolerance = 1e-5 * std::sqrt(static_cast<double>(inner)) + 1e-5;
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      double expected = 0;
      for (std::int64_t n = 0; n < inner; ++n) expected += x.at(i / columns, n) * w.at(i % columns, n);
      const auto at = static_cast<std::size_t>(i);
      ASSERT_NEAR(sums[at], expected, tolerance) << rows << " x " << inner << " x " << columns << " at " << i;
      ASSERT_NEAR(rounded[at], expected, tolerance + std::abs(expected) / 256)
          << rows << " x " << inner << " x " << columns << " at " << i;
      ASSERT_NEAR(added[at], expected + 3, tolerance + std::abs(expected + 3) / 256)
          << rows << " x " << inner << " x " << columns << " at " << i;
    }
  }
}

TEST_P(Bfloat16Test, ARowHasTheSameBitsInAnyCompany) {
  const Matrix x = random_matrix(131, 1700, 3), w = random_matrix(150, 1700, 4);
  const Floats all = multiply<float>(x, w, 0, 131);
  for (const std::int64_t count : {1, 2, 3, 4, 6, 11, 12, 13, 25, 121}) {
    const Floats some = multiply<float>(x, w, 5, count);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 5 * 150)) << count << " rows";
  }
}

TEST_P(Bfloat16Test, RowsArePackedAsColumnsAre) {
  for (const auto& [inner, columns] : {std::pair{1, 1}, {6, 70}, {7, 32}, {33, 31}}) {
    const Matrix b = random_matrix(inner, columns, 5);
    Matrix turned = random_matrix(columns, inner, 6);
    auto* values = reinterpret_cast<Bfloat16*>(turned.pairs.data());
    for (std::int64_t i = 0; i < inner; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) values[j * turned.stride + i] = b.values()[i * b.stride + j];
    }
    std::vector<Bfloat16Pair> by_rows = room(columns, inner), by_columns = by_rows;
    k->pack_row_pairs(b.values(), inner, columns, b.stride, by_rows.data());
    k->pack_pairs(turned.values(), columns, inner, turned.stride, by_columns.data());
    EXPECT_EQ(by_rows, by_columns) << inner << " x " << columns;
  }
}

TEST_P(Bfloat16Test, NumbersAreRoundedToTheNearestAndTiesToEven) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto bits = [](std::uint32_t all) { return std::bit_cast<float>(all); };
  const std::vector<std::pair<float, std::uint16_t>> cases = {
      {1.0f, 0x3f80},
      {-2.5f, 0xc020},
      {0.0f, 0},
      {-0.0f, 0x8000},
      {bits(0x3f808000), 0x3f80},  // halfway, even below
      {bits(0x3f818000), 0x3f82},  // halfway, even above
      {bits(0x3f808001), 0x3f81},
      {bits(0x3f80ffff), 0x3f81},
      {infinity, 0x7f80},
      {-infinity, 0xff80},
      {bits(0x7f7fffff), 0x7f80},  // beyond the largest
      {bits(0x7f800001), 0x7fc0},  // stays a NaN
      {bits(0x00018000), 0x0002}};
  Floats x;
  for (const auto& [value, expected] : cases) x.push_back(value);
  std::vector<Bfloat16> out(x.size());
  k->to_bfloat16(x.data(), static_cast<std::int64_t>(x.size()), out.data());
  for (std::size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(static_cast<std::uint16_t>(out[i]), cases[i].second) << "case " << i;
  const Floats back = widened(out);
  EXPECT_EQ(back[1], -2.5f);
  EXPECT_EQ(back[8], infinity);
  EXPECT_TRUE(std::isnan(back[11]));
}

}  // namespace
}  // namespace rocket
