#include "backend/torch/attention.h"

#include <cmath>
#include <optional>

#include "backend/threads.h"
#include "backend/torch/torch_backend.h"

namespace rocket {
namespace {

/// k or v for every query head: [n, G, M, K] -> [n, H, M, K].
at::Tensor repeated_heads(const at::Tensor& x_nGMK, std::int64_t heads) {
  const auto n = x_nGMK.size(0), groups = x_nGMK.size(1), m = x_nGMK.size(2), dim = x_nGMK.size(3);
  if (groups == heads) return x_nGMK;
  return x_nGMK.unsqueeze(2).expand({n, groups, heads / groups, m, dim}).reshape({n, heads, m, dim});
}

/// Which of `keys` keys each of the last `rows` positions sees; nothing where SDPA's own rule says the same.
std::optional<at::Tensor> allowed_keys(const AttentionRule& rule, std::int64_t rows, std::int64_t keys,
                                       const at::TensorOptions& options) {
  const bool windowed = rule.window > 0 && rule.window < keys;
  if (!windowed && (!rule.causal || keys == rows)) return std::nullopt;
  const std::int64_t ahead = rule.causal ? 0 : rule.window - 1;
  at::Tensor allowed = at::ones({rows, keys}, options.dtype(at::kBool)).tril(keys - rows + ahead);
  if (windowed) allowed = allowed.triu(keys - rows - rule.window + 1);
  return allowed;
}

/// Cut with one step of the graph, whose gradient is one concatenation.
std::vector<at::Tensor> batches_by_length(const LengthGroups& groups, const at::Tensor& x_THK) {
  std::vector<at::Tensor> batches = x_THK.index_select(0, groups.order_T).split_with_sizes(groups.rows, 0);
  for (std::size_t i = 0; i < batches.size(); ++i)
    batches[i] = batches[i].view({-1, groups.lengths[i], x_THK.size(1), x_THK.size(2)}).transpose(1, 2);
  return batches;
}

/// LibTorch's attention knows no cap. Scores of bfloat16 are widened for the softmax alone, as in
/// transformers.
at::Tensor with_capped_scores(const at::Tensor& q_nHLK, const at::Tensor& k_nHMK, const at::Tensor& v_nHMK,
                              const at::Tensor& allowed, const AttentionRule& rule) {
  const double scale = rule.scale > 0 ? rule.scale : 1 / std::sqrt(static_cast<double>(q_nHLK.size(3)));
  const at::Tensor scores = at::matmul(q_nHLK, k_nHMK.transpose(2, 3)) * scale;
  const at::Tensor capped =
      (at::tanh(scores / rule.cap) * rule.cap).masked_fill(allowed.logical_not(), -INFINITY);
  return at::matmul(
      at::softmax(capped, -1, c10::promoteTypes(capped.scalar_type(), at::kFloat)).to(q_nHLK.scalar_type()),
      v_nHMK);
}

}  // namespace

at::Tensor weighted_values(const at::Tensor& q_nHLK, const at::Tensor& k_nHMK, const at::Tensor& v_nHMK,
                           const std::optional<at::Tensor>& allowed, bool causal, const AttentionRule& rule) {
  if (rule.cap == 0)
    return at::scaled_dot_product_attention(q_nHLK, k_nHMK, v_nHMK, allowed, 0.0, causal,
                                            rule.scale > 0 ? std::optional(rule.scale) : std::nullopt);
  const std::int64_t rows = q_nHLK.size(2), keys = k_nHMK.size(2);
  const at::Tensor all = at::ones({rows, keys}, q_nHLK.options().dtype(at::kBool));
  return with_capped_scores(q_nHLK, k_nHMK, v_nHMK, allowed ? *allowed : causal ? all.tril() : all, rule);
}

at::Tensor attend_batch(const at::Tensor& q_nHLK, const at::Tensor& k_nGMK, const at::Tensor& v_nGMK,
                        const AttentionRule& rule) {
  const SerialMatrixLibrary serial;
  const auto heads = q_nHLK.size(1), length = q_nHLK.size(2), keys = k_nGMK.size(2);
  const auto allowed = allowed_keys(rule, length, keys, q_nHLK.options());
  return weighted_values(q_nHLK, repeated_heads(k_nGMK, heads), repeated_heads(v_nGMK, heads), allowed,
                         rule.causal && !allowed && length > 1, rule)
      .transpose(1, 2)
      .flatten(2);
}

at::Tensor TorchBackend::attend_by_distance(const AttentionRows& rows, const at::Tensor& q_THK,
                                            const at::Tensor& k_THK, const at::Tensor& v_THK,
                                            const at::Tensor& distances_HN) const {
  const SerialMatrixLibrary serial;
  const LengthGroups& groups = rows.by_length();
  const auto q = batches_by_length(groups, q_THK), k = batches_by_length(groups, k_THK),
             v = batches_by_length(groups, v_THK);
  const std::int64_t zero = distances_HN.size(1) / 2;  // where the distance 0 lies
  std::vector<at::Tensor> mixed;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const at::Tensor place = at::arange(groups.lengths[i], distances_HN.options().dtype(at::kLong));
    const at::Tensor distances_LL = place.unsqueeze(0) - place.unsqueeze(1) + zero;
    const at::Tensor added_HLL =
        distances_HN.index_select(1, distances_LL.flatten()).view({-1, groups.lengths[i], groups.lengths[i]});
    mixed.push_back(at::scaled_dot_product_attention(q[i], k[i], v[i], added_HLL.unsqueeze(0))
                        .transpose(1, 2)
                        .flatten(2)
                        .flatten(0, 1));
  }
  return at::cat(mixed).index_select(0, groups.inverse_T);
}

at::Tensor TorchBackend::attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                                const at::Tensor& v_TGK, const AttentionRule& rule) const {
  const LengthGroups& groups = rows.by_length();
  const auto q = batches_by_length(groups, q_THK), k = batches_by_length(groups, k_TGK),
             v = batches_by_length(groups, v_TGK);
  std::vector<at::Tensor> mixed;
  for (std::size_t i = 0; i < q.size(); ++i)
    mixed.push_back(attend_batch(q[i], k[i], v[i], rule).flatten(0, 1));
  return at::cat(mixed).index_select(0, groups.inverse_T);
}

}  // namespace rocket
