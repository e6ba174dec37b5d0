#include "device/attention_reference.h"

#include <limits>

namespace rocket::emulated {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

at::Tensor for_each_query_head(const at::Tensor& x_GNK, std::int64_t heads) {
  return x_GNK.to(at::kFloat).repeat_interleave(heads / x_GNK.size(0), 0);
}

/// Products with what is not seen at minus infinity, [H, M, N].
at::Tensor products(const Text& t, const at::Tensor& k_HNK) {
  const std::int64_t rows = t.q.size(1), keys = t.k.size(1);
  at::Tensor s = at::bmm(t.q.to(at::kFloat), k_HNK.transpose(1, 2)) * t.scale;
  if (t.sight.bias.defined()) s = s + t.sight.bias.to(at::kFloat);
  const at::Tensor place = at::arange(rows).unsqueeze(1) + (keys - rows), key = at::arange(keys).unsqueeze(0);
  if (t.sight.before) s = s.masked_fill(key < place - *t.sight.before, kNothing);
  if (t.sight.behind) s = s.masked_fill(key > place + *t.sight.behind, kNothing);
  return s;
}

/// Softmax whose rows without any key are zeros.
at::Tensor shares(const at::Tensor& s_HMN) {
  return at::nan_to_num(at::softmax(s_HMN, -1), 0.0);
}

at::Tensor summed_by_key_head(const at::Tensor& x_HNK, std::int64_t key_heads) {
  return x_HNK.view({key_heads, -1, x_HNK.size(1), x_HNK.size(2)}).sum(1);
}

}  // namespace

Attended attend(const Text& t) {
  const std::int64_t heads = t.q.size(0);
  const at::Tensor s = products(t, for_each_query_head(t.k, heads));
  return {at::bmm(shares(s), for_each_query_head(t.v, heads)), at::logsumexp(s, -1)};
}

AttentionGradients attend_backward(const Text& t, const at::Tensor& out_gradient) {
  const std::int64_t heads = t.q.size(0), key_heads = t.k.size(0);
  const at::Tensor k = for_each_query_head(t.k, heads), v = for_each_query_head(t.v, heads);
  const at::Tensor p = shares(products(t, k)), dout = out_gradient.to(at::kFloat);
  const at::Tensor dp = at::bmm(dout, v.transpose(1, 2));
  const at::Tensor ds = p * (dp - (p * dp).sum(-1, true));
  return {at::bmm(ds, k) * t.scale,
          summed_by_key_head(at::bmm(ds.transpose(1, 2), t.q.to(at::kFloat)) * t.scale, key_heads),
          summed_by_key_head(at::bmm(p.transpose(1, 2), dout), key_heads), ds};
}

}  // namespace rocket::emulated
