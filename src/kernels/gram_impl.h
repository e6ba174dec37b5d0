// Gram matrices in float64: tiles of rows x vectors whose sums stay in registers for a piece of the inner
// dimension.
#pragma once

#include "kernels/gram.h"
#include "kernels/vector.h"

namespace rocket {
namespace {

using DoubleVector __attribute__((vector_size(ROCKET_VECTOR_BYTES))) = double;
constexpr std::int64_t kDoubleLanes = kLanes / 2;

/// Registers for sums, beside those for the operands. Both divide a panel.
constexpr int kGramRows = kDoubleLanes == 8 ? 8 : 4;
constexpr int kGramVectors = kDoubleLanes == 2 ? 2 : 3;
static_assert(kGramPanel % kGramRows == 0 && kGramPanel % (kGramVectors * kDoubleLanes) == 0);

inline DoubleVector load_doubles(const double* from) {
  DoubleVector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

/// c[kGramRows, kGramVectors * kDoubleLanes] += a^T b over `inner` rows of two panels. All loops over the
/// tile are unrolled, so that the sums live in registers.
inline void add_gram_tile(const double* a, const double* b, std::int64_t inner, double* c,
                          std::int64_t stride) {
  DoubleVector sums[kGramRows][kGramVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kGramRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kGramVectors; ++v) sums[r][v] = load_doubles(c + r * stride + v * kDoubleLanes);
  }
  for (std::int64_t k = 0; k < inner; ++k, a += kGramPanel, b += kGramPanel) {
    DoubleVector right[kGramVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kGramVectors; ++v) right[v] = load_doubles(b + v * kDoubleLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kGramRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kGramVectors; ++v) sums[r][v] += a[r] * right[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kGramRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kGramVectors; ++v)
      std::memcpy(c + r * stride + v * kDoubleLanes, &sums[r][v], sizeof sums[r][v]);
  }
}

/// One panel of rows against one of columns.
void add_gram_panel(const double* a, const double* b, std::int64_t inner, double* c, std::int64_t stride) {
  for (std::int64_t r = 0; r < kGramPanel; r += kGramRows) {
    for (std::int64_t j = 0; j < kGramPanel; j += kGramVectors * kDoubleLanes)
      add_gram_tile(a + r, b + j, inner, c + r * stride + j, stride);
  }
}

template <class Stored>
void widen(const Stored* from, std::int64_t count, double* to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
}

/// The piece of a panel's inner dimension that begins at `first`.
template <class Stored>
void widen_panel(const Stored* panels, std::int64_t panel, const GramBlock<Stored>& g, std::int64_t first,
                 std::int64_t inner, double* to) {
  widen(panels + (panel * g.inner + first) * kGramPanel, inner * kGramPanel, to);
}

template <class Stored>
void gram(const GramBlock<Stored>& g) {
  const std::int64_t stride = g.column_panels * kGramPanel, pass = kGramInnerPerPass * kGramPanel;
  const auto rows_of = [&](std::int64_t column) {  // panels that meet this one
    return g.rows == g.columns ? least(column + 1, g.row_panels) : g.row_panels;
  };
  for (std::int64_t j = 0; j < g.column_panels; ++j) {
    for (std::int64_t r = 0; r < rows_of(j) * kGramPanel; ++r) {
      for (std::int64_t i = 0; i < kGramPanel; ++i) g.out[r * stride + j * kGramPanel + i] = 0;
    }
  }
  double* const right = g.scratch + g.row_panels * pass;
  for (std::int64_t first = 0; first < g.inner; first += kGramInnerPerPass) {
    const std::int64_t inner = least(kGramInnerPerPass, g.inner - first);
    for (std::int64_t i = 0; i < g.row_panels; ++i)
      widen_panel(g.rows, i, g, first, inner, g.scratch + i * pass);
    for (std::int64_t j = 0; j < g.column_panels; ++j) {
      widen_panel(g.columns, j, g, first, inner, right);
      for (std::int64_t i = 0; i < rows_of(j); ++i) {
        add_gram_panel(g.scratch + i * pass, right, inner, g.out + i * kGramPanel * stride + j * kGramPanel,
                       stride);
      }
    }
  }
}

}  // namespace
}  // namespace rocket
