// Products of bfloat16 matrices, and conversions. An instruction set without a product of pairs computes with
// floats, which hold each product of two bfloat16 values exactly.
#pragma once

#include "kernels/product_impl.h"

namespace rocket {
namespace {

/// Columns whose sums wait for their rounding together, in the second cache.
constexpr std::int64_t kColumnsPerRounding = 256;

/// A float with these bits in its upper half.
inline float float_of(std::uint32_t upper) {
  const std::uint32_t bits = upper << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

void to_float(const Bfloat16* x, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = float_of(static_cast<std::uint32_t>(x[i]));
}

void to_bfloat16(const float* x, std::int64_t count, Bfloat16* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
    const std::uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
    out[i] = static_cast<Bfloat16>(is_nan ? quiet : nearest);
  }
}

inline Bfloat16Pair pair_of(Bfloat16 first, Bfloat16 second) {
  return static_cast<Bfloat16Pair>(static_cast<std::uint32_t>(second) << 16 |
                                   static_cast<std::uint32_t>(first));
}

void pack_pairs(const Bfloat16* rows, std::int64_t columns, std::int64_t inner, std::int64_t stride,
                Bfloat16Pair* packed) {
  pack_units(columns, pairs_of(inner), packed, [=](std::int64_t j, std::int64_t i) {
    const Bfloat16* row = rows + j * stride;
    return pair_of(row[2 * i], 2 * i + 1 < inner ? row[2 * i + 1] : Bfloat16{});
  });
}

void pack_row_pairs(const Bfloat16* rows, std::int64_t inner, std::int64_t columns, std::int64_t stride,
                    Bfloat16Pair* packed) {
  const Bfloat16 zeros[kPanel] = {};
  for (std::int64_t first = 0; first < columns; first += kPanel) {
    const std::int64_t width = least(kPanel, columns - first);
    for (std::int64_t k = 0; k < inner; k += 2, packed += kPanel) {
      const Bfloat16* upper = rows + k * stride + first;
      const Bfloat16* lower = k + 1 < inner ? upper + stride : zeros;
      if (width == kPanel) {
        for (std::int64_t j = 0; j < kPanel; ++j) packed[j] = pair_of(upper[j], lower[j]);
      } else {
        for (std::int64_t j = 0; j < kPanel; ++j)
          packed[j] = j < width ? pair_of(upper[j], lower[j]) : Bfloat16Pair{};
      }
    }
  }
}

#if defined(__AVX512BF16__)

void multiply_pairs(const PairProduct& p) {
  multiply_units(p);
}

#else

constexpr std::int64_t kPairsPerPass = kInnerPerPass / 2;

/// Rows of pairs as rows of twice as many floats.
void widen_rows(const Bfloat16Pair* from, std::int64_t rows, std::int64_t pairs, std::int64_t stride,
                float* to) {
  for (std::int64_t r = 0; r < rows; ++r, from += stride, to += kSpreadStride) {
    for (std::int64_t i = 0; i < pairs; ++i) {
      const auto pair = static_cast<std::uint32_t>(from[i]);
      to[2 * i] = float_of(pair & 0xffff);
      to[2 * i + 1] = float_of(pair >> 16);
    }
  }
}

/// A panel of pairs as one of twice as many rows.
void widen_panel(const Bfloat16Pair* from, std::int64_t pairs, std::int64_t row_stride, float* to) {
  for (std::int64_t k = 0; k < pairs; ++k, from += row_stride, to += 2 * kPanel) {
    for (std::int64_t j = 0; j < kPanel; ++j) {
      const auto pair = static_cast<std::uint32_t>(from[j]);
      to[j] = float_of(pair & 0xffff);
      to[kPanel + j] = float_of(pair >> 16);
    }
  }
}

void multiply_widened_band(const PairProduct& p, std::int64_t first_row, std::int64_t rows) {
  float left[kRowsPerBand * kSpreadStride], right[kInnerPerPass * kPanel];
  for (std::int64_t first = 0; first < p.inner; first += kPairsPerPass) {
    const std::int64_t pairs = least(kPairsPerPass, p.inner - first);
    widen_rows(p.a + first_row * p.a_stride + first, rows, pairs, p.a_stride, left);
    for (std::int64_t column = 0; column < p.columns; column += kPanel) {
      widen_panel(p.b.data + column / kPanel * p.b.panel_stride + first * p.b.row_stride, pairs,
                  p.b.row_stride, right);
      multiply_pass(MatrixProduct{rows,
                                  2 * pairs,
                                  least(kPanel, p.columns - column),
                                  left,
                                  kSpreadStride,
                                  {right, kPanel, 0},
                                  p.c + first_row * p.c_stride + column,
                                  p.c_stride,
                                  p.add || first > 0});
    }
  }
}

void multiply_pairs(const PairProduct& p) {
  for_each_band(p.rows,
                [&](std::int64_t first, std::int64_t rows) { multiply_widened_band(p, first, rows); });
}

#endif

/// Some columns of a band of rows: their sums, then these rounded.
void multiply_and_round(const Bfloat16Product& p, std::int64_t first_row, std::int64_t rows,
                        std::int64_t first_column, std::int64_t columns) {
  float sums[kRowsPerBand * kColumnsPerRounding];
  Bfloat16* c = p.c + first_row * p.c_stride + first_column;
  for (std::int64_t r = 0; p.add && r < rows; ++r) to_float(c + r * p.c_stride, columns, sums + r * columns);
  multiply_pairs({rows,
                  p.inner,
                  columns,
                  p.a + first_row * p.a_stride,
                  p.a_stride,
                  {p.b.data + first_column / kPanel * p.b.panel_stride, p.b.row_stride, p.b.panel_stride},
                  sums,
                  columns,
                  p.add});
  for (std::int64_t r = 0; r < rows; ++r) to_bfloat16(sums + r * columns, columns, c + r * p.c_stride);
}

void multiply_bfloat16(const Bfloat16Product& p) {
  for (std::int64_t column = 0; column < p.columns; column += kColumnsPerRounding) {
    for_each_band(p.rows, [&](std::int64_t first, std::int64_t rows) {
      multiply_and_round(p, first, rows, column, least(kColumnsPerRounding, p.columns - column));
    });
  }
}

}  // namespace
}  // namespace rocket
