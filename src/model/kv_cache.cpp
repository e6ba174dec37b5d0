#include "model/kv_cache.h"

#include <algorithm>
#include <numeric>

namespace rocket {
namespace {

/// A buffer of another size that starts with what the old one holds.
at::Tensor enlarged(const at::Tensor& old_SGMK, std::int64_t slots, std::int64_t capacity) {
  at::Tensor larger = at::empty({slots, old_SGMK.size(1), capacity, old_SGMK.size(3)}, old_SGMK.options());
  larger.narrow(0, 0, old_SGMK.size(0)).narrow(2, 0, old_SGMK.size(2)).copy_(old_SGMK);
  return larger;
}

}  // namespace

void KvCache::keep(std::span<const std::int64_t> sequences) {
  std::vector<std::pair<std::int64_t, std::int64_t>> kept;  // old slot, sequence
  for (const std::int64_t s : sequences) {
    if (const auto it = slot_of_.find(s); it != slot_of_.end()) kept.emplace_back(it->second, s);
  }
  std::sort(kept.begin(), kept.end());
  std::vector<std::int64_t> slots, lengths;
  slot_of_.clear();
  for (const auto& [slot, sequence] : kept) {
    slot_of_[sequence] = static_cast<std::int64_t>(slots.size());
    slots.push_back(slot);
    lengths.push_back(lengths_[static_cast<std::size_t>(slot)]);
  }
  lengths_ = std::move(lengths);
  for (Buffers& layer : layers_) {
    const at::Tensor index = at::tensor(slots, at::kLong).to(layer.keys_SGMK.device());
    layer.keys_SGMK = layer.keys_SGMK.index_select(0, index);
    layer.values_SGMK = layer.values_SGMK.index_select(0, index);
  }
}

void KvCache::add_slots(const PackedRows& rows) {
  std::vector<std::size_t> fresh;
  for (std::size_t i = 0; i < rows.sequences.size(); ++i) {
    if (!slot_of_.contains(rows.sequences[i])) fresh.push_back(i);
  }
  const auto length = [&](std::size_t i) { return rows.starts[i + 1] - rows.starts[i]; };
  std::stable_sort(fresh.begin(), fresh.end(), [&](auto a, auto b) { return length(a) < length(b); });
  for (const std::size_t i : fresh) {
    slot_of_[rows.sequences[i]] = static_cast<std::int64_t>(lengths_.size());
    lengths_.push_back(0);
  }
}

AttentionPlan KvCache::plan(const PackedRows& rows) {
  add_slots(rows);
  slots_ = static_cast<std::int64_t>(lengths_.size());
  needed_ = 0;
  std::vector<CachedSequence> cached;
  for (std::size_t i = 0; i < rows.sequences.size(); ++i) {
    const std::int64_t slot = slot_of_.at(rows.sequences[i]);
    cached.push_back({lengths_[static_cast<std::size_t>(slot)], slot});
    needed_ = std::max(needed_, cached.back().cached + rows.starts[i + 1] - rows.starts[i]);
  }
  return {rows, cached};
}

void KvCache::make_room(Buffers& buffers, const at::Tensor& k_TGK) const {
  if (!buffers.keys_SGMK.defined()) {
    buffers.keys_SGMK = at::empty({0, k_TGK.size(1), 0, k_TGK.size(2)}, k_TGK.options());
    buffers.values_SGMK = buffers.keys_SGMK;
  }
  const std::int64_t capacity = buffers.keys_SGMK.size(2);
  if (capacity >= needed_ && buffers.keys_SGMK.size(0) >= slots_) return;
  const std::int64_t wanted = capacity >= needed_ ? capacity : std::max(needed_, 2 * capacity);
  buffers.keys_SGMK = enlarged(buffers.keys_SGMK, slots_, wanted);
  buffers.values_SGMK = enlarged(buffers.values_SGMK, slots_, wanted);
}

at::Tensor KvCache::attend(std::int64_t layer, const AttentionPlan& plan, const at::Tensor& q_THK,
                           const at::Tensor& k_TGK, const at::Tensor& v_TGK) {
  if (static_cast<std::size_t>(layer) >= layers_.size()) layers_.resize(static_cast<std::size_t>(layer) + 1);
  Buffers& buffers = layers_[static_cast<std::size_t>(layer)];
  make_room(buffers, k_TGK);
  const at::Tensor q = plan.gather(q_THK), k = plan.gather(k_TGK), v = plan.gather(v_TGK);
  std::vector<at::Tensor> pieces;
  for (const AttentionGroup& group : plan.groups()) {
    const auto slots_of = [&](const at::Tensor& buffer, std::int64_t begin, std::int64_t count) {
      return buffer.narrow(0, group.first_slot, group.sequences).narrow(2, begin, count);
    };
    slots_of(buffers.keys_SGMK, group.cached, group.fresh).copy_(rows_of_group(k, group).transpose(1, 2));
    slots_of(buffers.values_SGMK, group.cached, group.fresh).copy_(rows_of_group(v, group).transpose(1, 2));
    const std::int64_t keys = group.cached + group.fresh;
    pieces.push_back(attend_group(rows_of_group(q, group), slots_of(buffers.keys_SGMK, 0, keys),
                                  slots_of(buffers.values_SGMK, 0, keys), Mask::causal));
  }
  return plan.restore(pieces.size() == 1 ? pieces.front() : at::cat(pieces));
}

void KvCache::advance(const PackedRows& rows) {
  for (std::size_t i = 0; i < rows.sequences.size(); ++i) {
    lengths_[static_cast<std::size_t>(slot_of_.at(rows.sequences[i]))] += rows.starts[i + 1] - rows.starts[i];
  }
}

}  // namespace rocket
