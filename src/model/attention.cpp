#include "model/attention.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

#include "model/product.h"

namespace rocket {
namespace {

/// Slots in order of length, so that sequences of equal length are neighbours.
std::vector<CachedSequence> slots_by_length(const PackedRows& rows) {
  const std::size_t n = rows.sequences.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  const auto length = [&](std::size_t s) { return rows.starts[s + 1] - rows.starts[s]; };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return length(a) < length(b); });
  std::vector<CachedSequence> sequences(n);
  for (std::size_t i = 0; i < n; ++i) sequences[order[i]].slot = static_cast<std::int64_t>(i);
  return sequences;
}

/// k or v for every query head: [n, G, M, K] -> [n, H, M, K].
at::Tensor for_each_head(const at::Tensor& x_nGMK, std::int64_t heads) {
  const auto n = x_nGMK.size(0), groups = x_nGMK.size(1), m = x_nGMK.size(2), dim = x_nGMK.size(3);
  if (groups == heads) return x_nGMK;
  return x_nGMK.unsqueeze(2).expand({n, groups, heads / groups, m, dim}).reshape({n, heads, m, dim});
}

}  // namespace

AttentionPlan::AttentionPlan(const PackedRows& rows) : AttentionPlan(rows, slots_by_length(rows)) {
}

AttentionPlan::AttentionPlan(const PackedRows& rows, std::span<const CachedSequence> cached) {
  const std::size_t n = rows.sequences.size();
  const auto fresh = [&](std::size_t s) { return rows.starts[s + 1] - rows.starts[s]; };
  std::vector<std::size_t> sequences(n);
  std::iota(sequences.begin(), sequences.end(), 0);
  std::stable_sort(sequences.begin(), sequences.end(), [&](auto a, auto b) {
    return std::tuple(cached[a].cached, fresh(a), cached[a].slot) <
           std::tuple(cached[b].cached, fresh(b), cached[b].slot);
  });
  std::vector<std::int64_t> order;
  order.reserve(static_cast<std::size_t>(rows.tokens()));
  for (const std::size_t s : sequences) {
    if (fresh(s) == 0) continue;
    add_group_member(cached[s], fresh(s), static_cast<std::int64_t>(order.size()));
    for (auto row = rows.starts[s]; row < rows.starts[s + 1]; ++row) order.push_back(row);
  }
  keep_order(order, rows.ids_T.device());
}

void AttentionPlan::add_group_member(const CachedSequence& sequence, std::int64_t fresh, std::int64_t row) {
  if (!groups_.empty()) {
    AttentionGroup& last = groups_.back();
    if (last.cached == sequence.cached && last.fresh == fresh &&
        last.first_slot + last.sequences == sequence.slot) {
      ++last.sequences;
      return;
    }
  }
  groups_.push_back({row, 1, fresh, sequence.cached, sequence.slot});
}

void AttentionPlan::keep_order(const std::vector<std::int64_t>& order, at::Device device) {
  if (std::is_sorted(order.begin(), order.end())) return;
  std::vector<std::int64_t> inverse(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    inverse[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  order_T_ = at::tensor(order, at::kLong).to(device);
  inverse_T_ = at::tensor(inverse, at::kLong).to(device);
}

at::Tensor AttentionPlan::gather(const at::Tensor& x_T) const {
  return order_T_.defined() ? x_T.index_select(0, order_T_) : x_T;
}

at::Tensor AttentionPlan::restore(const at::Tensor& x_T) const {
  return inverse_T_.defined() ? x_T.index_select(0, inverse_T_) : x_T;
}

at::Tensor attend_group(const at::Tensor& q_nLHK, const at::Tensor& k_nGMK, const at::Tensor& v_nGMK,
                        Mask mask) {
  const auto n = q_nLHK.size(0), length = q_nLHK.size(1), heads = q_nLHK.size(2), dim = q_nLHK.size(3);
  const SerialMatrixLibrary serial;
  const auto key_heads = k_nGMK.size(1), keys = k_nGMK.size(2);
  if (length == 1) {
    // The query heads of one key head stand as its positions: nothing needs to be repeated or masked.
    const at::Tensor q = q_nLHK.reshape({n, key_heads, heads / key_heads, dim});
    return at::scaled_dot_product_attention(q, k_nGMK, v_nGMK).reshape({n, heads * dim});
  }
  std::optional<at::Tensor> allowed;
  if (mask == Mask::causal && keys != length) {
    allowed = at::ones({length, keys}, q_nLHK.options().dtype(at::kBool)).tril(keys - length);
  }
  const at::Tensor out = at::scaled_dot_product_attention(
      q_nLHK.transpose(1, 2), for_each_head(k_nGMK, heads), for_each_head(v_nGMK, heads), allowed, 0.0,
      mask == Mask::causal && keys == length);
  return out.transpose(1, 2).reshape({n * length, heads * dim});
}

at::Tensor rows_of_group(const at::Tensor& x_THK, const AttentionGroup& group) {
  return x_THK.narrow(0, group.first_row, group.rows())
      .view({group.sequences, group.fresh, x_THK.size(1), x_THK.size(2)});
}

at::Tensor attend(const AttentionPlan& plan, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                  const at::Tensor& v_TGK, Mask mask) {
  const at::Tensor q = plan.gather(q_THK), k = plan.gather(k_TGK), v = plan.gather(v_TGK);
  std::vector<at::Tensor> pieces;
  for (const AttentionGroup& group : plan.groups()) {
    pieces.push_back(attend_group(rows_of_group(q, group), rows_of_group(k, group).transpose(1, 2),
                                  rows_of_group(v, group).transpose(1, 2), mask));
  }
  return plan.restore(pieces.size() == 1 ? pieces.front() : at::cat(pieces));
}

}  // namespace rocket
