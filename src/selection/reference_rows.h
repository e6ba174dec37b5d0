// Unit vectors packed for products, and which of them are near a row: the one place where "near" is decided.
//
// The cosine of two vectors is their product as kernels.h sums it: a function of the two alone, the same in
// any block, on any rank and thread.
#pragma once

#include <cstdint>
#include <vector>

namespace rocket {

/// What a cosine must exceed: float32(threshold); nothing exceeds 1, as cosines are clamped to it.
float near_bar(double threshold);

class ReferenceRows {
 public:
  explicit ReferenceRows(std::int64_t dimension) : dimension_(dimension) {}

  void add(const float* row_D);
  std::int64_t size() const { return size_; }

  /// For each of `count` rows the lowest index of a packed row whose cosine with it is above `bar`, or -1.
  std::vector<std::int64_t> first_near(const float* rows_BD, std::int64_t count, float bar) const;

  /// One bit for each of the first `columns` packed rows: above `bar` or not. [count, words_of(columns)],
  /// bits from the lowest.
  std::vector<std::uint64_t> near_bits(const float* rows_BD, std::int64_t count, std::int64_t columns,
                                       float bar) const;

  static std::int64_t words_of(std::int64_t columns) { return (columns + 63) / 64; }

 private:
  /// The cosines of rows with packed rows [chunk * kColumns, + columns), to cosines[r * columns + j].
  void multiply(const float* rows_BD, std::int64_t count, std::size_t chunk, std::int64_t columns,
                float* cosines) const;

  std::int64_t dimension_, size_ = 0;
  std::vector<std::vector<float>>
      chunks_;  // as kernels.h packs kColumns columns; never moved, so memory grows evenly
};

}  // namespace rocket
