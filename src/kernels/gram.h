// Products in float64 of the rows of one or two matrices with each other, for Gram matrices.
#pragma once

#include <cstdint>

namespace rocket {

/// Rows that lie side by side in a matrix whose Gram matrix is wanted.
inline constexpr std::int64_t kGramPanel = 24;

constexpr std::int64_t gram_panels(std::int64_t rows) {
  return (rows + kGramPanel - 1) / kGramPanel;
}

/// out[kGramPanel * row_panels, kGramPanel * column_panels] = rows columns^T. Panels are [inner, kGramPanel]:
/// row r of a matrix has its value k at (r / kGramPanel * inner + k) * kGramPanel + r % kGramPanel. Where
/// `rows` and `columns` are the same panels, those of `out` below the diagonal are left as they were.
///
/// Each sum runs over k in its order. Of float32 values every product is exact in float64, so that every
/// instruction set gives the same bits; of float64 ones those with fused multiply-add do.
template <class Stored>
struct GramBlock {
  std::int64_t inner = 0;
  const Stored* rows = nullptr;
  std::int64_t row_panels = 0;
  const Stored* columns = nullptr;
  std::int64_t column_panels = 0;
  double* out = nullptr;
  double* scratch = nullptr;  // gram_scratch(row_panels) doubles
};

/// Inner steps between two visits of the sums' memory.
inline constexpr std::int64_t kGramInnerPerPass = 128;

constexpr std::int64_t gram_scratch(std::int64_t row_panels) {
  return (row_panels + 1) * kGramInnerPerPass * kGramPanel;
}

}  // namespace rocket
