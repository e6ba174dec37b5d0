// Attention over packed ragged rows: sequences of equal length share one call, and none is padded.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/rows.h"

namespace rocket {

/// Sequences that one attention call serves: `fresh` new rows each behind `cached` earlier ones. Their slots
/// (places in a cache) follow each other.
struct AttentionGroup {
  std::int64_t first_row = 0, sequences = 0, fresh = 0, cached = 0, first_slot = 0;
  std::int64_t rows() const { return sequences * fresh; }
};

/// What a sequence of the batch finds in the cache; without a cache: nothing, and slots in order of length.
struct CachedSequence {
  std::int64_t cached = 0, slot = 0;
};

/// The rows of a batch, ordered group by group.
class AttentionPlan {
 public:
  explicit AttentionPlan(const PackedRows& rows);
  AttentionPlan(const PackedRows& rows, std::span<const CachedSequence> cached);

  const std::vector<AttentionGroup>& groups() const { return groups_; }
  /// Rows in the plan's order.
  at::Tensor gather(const at::Tensor& x_T) const;
  /// Back to the order of the batch.
  at::Tensor restore(const at::Tensor& x_T) const;

 private:
  void add_group_member(const CachedSequence& sequence, std::int64_t fresh, std::int64_t row);
  void keep_order(const std::vector<std::int64_t>& order, at::Device device);

  std::vector<AttentionGroup> groups_;
  at::Tensor order_T_, inverse_T_;  // undefined where the batch is in order already
};

enum class Mask { causal, none };

/// Attention of one group: q [n, L, H, K] (the last L positions), k and v [n, G, M, K] with G key heads
/// (H a multiple of G). Returns [n * L, H * K].
at::Tensor attend_group(const at::Tensor& q_nLHK, const at::Tensor& k_nGMK, const at::Tensor& v_nGMK,
                        Mask mask);

/// Attention within each sequence of the batch: q [T, H, K], k and v [T, G, K]. Returns [T, H * K].
at::Tensor attend(const AttentionPlan& plan, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                  const at::Tensor& v_TGK, Mask mask);

/// Rows of one group as [n, L, heads, K].
at::Tensor rows_of_group(const at::Tensor& x_THK, const AttentionGroup& group);

}  // namespace rocket
