// Keys and values of the sequences of a generation.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/attention.h"

namespace rocket {

/// One slot a sequence, in buffers [slots, G, capacity, K] a layer that grow by doubling. Not differentiable.
class KvCache {
 public:
  /// Forgets all sequences but these, and gives their memory back.
  void keep(std::span<const std::int64_t> sequences);

  /// How the rows of a forward meet the cache; sequences that it does not hold yet get a slot.
  AttentionPlan plan(const PackedRows& rows);
  /// Writes the new keys and values of a layer, then attends: q [T, H, K], k and v [T, G, K] -> [T, H * K].
  at::Tensor attend(std::int64_t layer, const AttentionPlan& plan, const at::Tensor& q_THK,
                    const at::Tensor& k_TGK, const at::Tensor& v_TGK);
  /// Called once after all layers: the new rows have joined the cache.
  void advance(const PackedRows& rows);

 private:
  struct Buffers {
    at::Tensor keys_SGMK, values_SGMK;
  };
  void add_slots(const PackedRows& rows);
  void make_room(Buffers& buffers, const at::Tensor& k_TGK) const;

  std::unordered_map<std::int64_t, std::int64_t> slot_of_;  // by sequence
  std::vector<std::int64_t> lengths_;                       // by slot
  std::vector<Buffers> layers_;
  std::int64_t slots_ = 0, needed_ = 0;  // of the forward under way
};

}  // namespace rocket
