// The walk of Algorithm 2: who is dropped because of whom.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rocket {

/// Takes unit vectors in walk order. One is dropped by the first reference that is near it (cosine in float32,
/// clamped to 1, strictly above the threshold); references are those kept so far, or all seen so far.
class NearWalk {
 public:
  enum class References { kept, seen };

  NearWalk(std::int64_t dimension, double threshold, References references);

  /// Goes on with rows_BD until they end or `most_kept` have been kept in all. Returns how many rows were taken.
  std::size_t take(std::span<const float> rows_BD, std::int64_t most_kept);

  /// For each row taken so far, in walk order: the position in the walk of the row that dropped it, or -1.
  const std::vector<std::int64_t>& dropped_by() const { return dropped_by_; }
  std::int64_t kept() const { return kept_; }

 private:
  std::size_t take_block(const float* rows, std::size_t count, std::int64_t most_kept);
  std::int64_t first_near(const float* row, std::int64_t first, std::int64_t end) const;

  std::int64_t dimension_;
  float threshold_;
  References references_;
  std::vector<float> reference_rows_;
  std::vector<std::int64_t> reference_positions_;
  std::vector<std::int64_t> dropped_by_;
  std::int64_t kept_ = 0;
};

}  // namespace rocket
