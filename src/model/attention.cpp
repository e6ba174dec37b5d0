#include "model/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "kernels/kernels.h"
#include "model/backward.h"
#include "model/product.h"
#include "model/threads.h"

namespace rocket {
namespace {

/// k or v for every query head: [n, G, M, K] -> [n, H, M, K].
at::Tensor for_each_head(const at::Tensor& x_nGMK, std::int64_t heads) {
  const auto n = x_nGMK.size(0), groups = x_nGMK.size(1), m = x_nGMK.size(2), dim = x_nGMK.size(3);
  if (groups == heads) return x_nGMK;
  return x_nGMK.unsqueeze(2).expand({n, groups, heads / groups, m, dim}).reshape({n, heads, m, dim});
}

/// Which of `keys` keys each of the last `rows` positions sees; nothing where SDPA's own mask says the same.
std::optional<at::Tensor> allowed_keys(const Mask& mask, std::int64_t rows, std::int64_t keys,
                                       const at::TensorOptions& options) {
  const bool windowed = mask.causal && mask.window > 0 && mask.window < keys;
  if (!mask.causal || (!windowed && keys == rows)) return std::nullopt;
  at::Tensor allowed = at::ones({rows, keys}, options.dtype(at::kBool)).tril(keys - rows);
  if (windowed) allowed = allowed.triu(keys - rows - mask.window + 1);
  return allowed;
}

/// Sequences in the order of their lengths, empty ones left out.
std::vector<std::size_t> sequences_by_length(const PackedRows& rows) {
  std::vector<std::size_t> order;
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    if (rows.length(s) > 0) order.push_back(s);
  }
  std::ranges::stable_sort(order, {}, [&](std::size_t s) { return rows.length(s); });
  return order;
}

LengthGroups groups_by_length(const PackedRows& rows) {
  const at::Device device = rows.ids_T.device();
  const std::vector<std::size_t> sequences = sequences_by_length(rows);
  std::vector<std::int64_t> order;
  for (const std::size_t s : sequences) {
    for (std::int64_t row = rows.starts[s]; row < rows.starts[s + 1]; ++row) order.push_back(row);
  }
  std::vector<std::int64_t> inverse(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    inverse[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  LengthGroups groups{
      {}, {}, at::tensor(order, at::kLong).to(device), at::tensor(inverse, at::kLong).to(device)};
  for (const std::size_t s : sequences) {
    const std::int64_t length = rows.length(s);
    if (groups.lengths.empty() || groups.lengths.back() != length) {
      groups.lengths.push_back(length);
      groups.rows.push_back(0);
    }
    groups.rows.back() += length;
  }
  return groups;
}

/// Cut with one step of the graph, whose gradient is one concatenation.
std::vector<at::Tensor> batches_by_length(const LengthGroups& groups, const at::Tensor& x_THK) {
  std::vector<at::Tensor> batches = x_THK.index_select(0, groups.order_T).split_with_sizes(groups.rows, 0);
  for (std::size_t i = 0; i < batches.size(); ++i)
    batches[i] = batches[i].view({-1, groups.lengths[i], x_THK.size(1), x_THK.size(2)}).transpose(1, 2);
  return batches;
}

at::Tensor attend_by_length(const LengthGroups& groups, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                            const at::Tensor& v_TGK, const Mask& mask) {
  const auto q = batches_by_length(groups, q_THK), k = batches_by_length(groups, k_TGK),
             v = batches_by_length(groups, v_TGK);
  std::vector<at::Tensor> mixed;
  for (std::size_t i = 0; i < q.size(); ++i)
    mixed.push_back(attend_batch(q[i], k[i], v[i], mask).flatten(0, 1));
  return at::cat(mixed).index_select(0, groups.inverse_T);
}

/// Room for the keys and values of one sequence at a time.
class Workspace {
 public:
  KeysAndValues of(std::int64_t key_heads, std::int64_t dim, std::int64_t length) {
    const std::int64_t capacity = whole_panels(length);
    const std::int64_t each = key_heads * dim * capacity;
    if (!room_.defined() || room_.numel() < 2 * each + 2 * kReadAhead) {
      room_ = at::empty({2 * each + 2 * kReadAhead}, at::kFloat);
    }
    float* start = room_.mutable_data_ptr<float>();
    return {start, start + each + kReadAhead, capacity};
  }

 private:
  at::Tensor room_;
};

/// Where the kernels find the rows of a forward.
struct HeadRows {
  const float* q = nullptr;
  float* out = nullptr;
  std::int64_t heads = 0, key_heads = 0, dim = 0;
};

void attend_sequence(const SequenceRows& s, const KeysAndValues& stored, const HeadRows& rows,
                     const Mask& mask) {
  thread_local std::vector<float> scratch;
  const auto floats = static_cast<std::size_t>(attention_scratch(s.cached + s.fresh));
  if (scratch.size() < floats) scratch.resize(floats);
  const std::int64_t dim = rows.dim, heads = rows.heads / rows.key_heads, stride = rows.heads * dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (std::int64_t g = 0; g < rows.key_heads; ++g) {
    const std::int64_t head = s.first_row * stride + g * heads * dim, key_head = g * dim * stored.capacity;
    kernels().attend({s.fresh, s.cached, heads, dim, mask.window, mask.causal, scale, rows.q + head,
                      rows.out + head, stride, stored.keys + key_head, stored.values + key_head, dim,
                      scratch.data()});
  }
}

/// Rows of one key head as packed keys behind `cached` earlier ones.
void write_packed(const float* rows, std::int64_t count, std::int64_t stride, std::int64_t cached,
                  std::int64_t dim, float* packed) {
  for (std::int64_t l = 0; l < count; ++l) {
    float* key = packed + key_place(cached + l, 0, dim);
    for (std::int64_t i = 0; i < dim; ++i) key[i * kPanel] = rows[l * stride + i];
  }
}

void write_sequence(const SequenceRows& rows, const float* k, const float* v, std::int64_t key_heads,
                    std::int64_t dim, const KeysAndValues& to) {
  const std::int64_t stride = key_heads * dim;
  k += rows.first_row * stride;
  v += rows.first_row * stride;
  for (std::int64_t g = 0; g < key_heads; ++g) {
    write_packed(k + g * dim, rows.fresh, stride, rows.cached, dim, to.keys + g * dim * to.capacity);
    float* values = to.values + (g * to.capacity + rows.cached) * dim;
    for (std::int64_t l = 0; l < rows.fresh; ++l)
      std::copy_n(v + l * stride + g * dim, dim, values + l * dim);
  }
}

at::Tensor attend_each(const PackedRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                       const at::Tensor& v_TGK, const Mask& mask) {
  const at::Tensor q = q_THK.contiguous(), k = k_TGK.contiguous(), v = v_TGK.contiguous();
  at::Tensor out = at::empty({q.size(0), q.size(1) * q.size(2)}, q.options());
  const HeadRows heads{q.const_data_ptr<float>(), out.mutable_data_ptr<float>(), q.size(1), k.size(1),
                       q.size(2)};
  const float *keys = k.const_data_ptr<float>(), *values = v.const_data_ptr<float>();
  on_threads(static_cast<std::int64_t>(rows.sequences.size()), [&](std::int64_t i) {
    thread_local Workspace workspace;
    const auto s = static_cast<std::size_t>(i);
    const SequenceRows sequence{rows.starts[s], rows.length(s), 0};
    const KeysAndValues stored = workspace.of(heads.key_heads, heads.dim, sequence.fresh);
    write_sequence(sequence, keys, values, heads.key_heads, heads.dim, stored);
    attend_sequence(sequence, stored, heads, mask);
  });
  return out;
}

/// What the gradients of attention are made of: float32, contiguous; dk and dv are zero at first.
struct AttentionGradient {
  at::Tensor q_THK, k_TGK, v_TGK, out_TO, dout_TO, dq_THK, dk_TGK, dv_TGK;
};

/// Of one key head of one sequence.
void attend_backward(const AttentionGradient& a, std::int64_t first_row, std::int64_t length, std::int64_t g,
                     const Mask& mask) {
  const std::int64_t key_heads = a.k_TGK.size(1), dim = a.k_TGK.size(2), heads = a.q_THK.size(1) / key_heads;
  const std::int64_t row_stride = a.q_THK.size(1) * dim, key_stride = key_heads * dim;
  const std::int64_t at = first_row * row_stride + g * heads * dim, key_at = first_row * key_stride + g * dim;
  const std::int64_t packed = whole_panels(length) * dim + kReadAhead, plain = length * dim + kReadAhead;
  thread_local std::vector<float> room;
  const auto floats = static_cast<std::size_t>(2 * packed + plain + attention_gradient_scratch(length, dim));
  if (room.size() < floats) room.resize(floats);
  float *keys = room.data(), *values = keys + packed, *plain_keys = values + packed;
  const float *k = a.k_TGK.const_data_ptr<float>() + key_at, *v = a.v_TGK.const_data_ptr<float>() + key_at;
  write_packed(k, length, key_stride, 0, dim, keys);
  write_packed(v, length, key_stride, 0, dim, values);
  for (std::int64_t l = 0; l < length; ++l) std::copy_n(k + l * key_stride, dim, plain_keys + l * dim);
  kernels().attend_backward({length, heads, dim, mask.window, mask.causal,
                             1.0f / std::sqrt(static_cast<float>(dim)), a.q_THK.const_data_ptr<float>() + at,
                             a.out_TO.const_data_ptr<float>() + at, a.dout_TO.const_data_ptr<float>() + at,
                             a.dq_THK.mutable_data_ptr<float>() + at, row_stride, keys, values, plain_keys,
                             a.dk_TGK.mutable_data_ptr<float>() + key_at,
                             a.dv_TGK.mutable_data_ptr<float>() + key_at, key_stride, plain_keys + plain});
}

at::Tensor differentiable_attend(const PackedRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                                 const at::Tensor& v_TGK, const Mask& mask) {
  const auto plain = [](const at::Tensor& x) { return x.detach().to(at::kFloat).contiguous(); };
  const at::Tensor q = q_THK.detach(), k = k_TGK.detach(), v = v_TGK.detach();
  std::array<at::Tensor, 1> out{attend_each(rows, plain(q), plain(k), plain(v), mask).to(q.scalar_type())};
  const at::Tensor result = out[0];
  const std::vector<std::int64_t> starts = rows.starts;
  differentiate(std::array{q_THK, k_TGK, v_TGK}, out, [=](const Gradients& dout) {
    AttentionGradient a{plain(q), plain(k), plain(v), plain(result), plain(dout[0]), {}, {}, {}};
    a.dq_THK = at::empty_like(a.q_THK);
    a.dk_TGK = at::zeros_like(a.k_TGK);
    a.dv_TGK = at::zeros_like(a.v_TGK);
    const std::int64_t key_heads = a.k_TGK.size(1), sequences = static_cast<std::int64_t>(starts.size()) - 1;
    on_threads(sequences * key_heads, [&](std::int64_t i) {
      const auto s = static_cast<std::size_t>(i / key_heads);
      attend_backward(a, starts[s], starts[s + 1] - starts[s], i % key_heads, mask);
    });
    const auto type = q.scalar_type();
    return Gradients{a.dq_THK.to(type), a.dk_TGK.to(type), a.dv_TGK.to(type)};
  });
  return out[0];
}

}  // namespace

at::Tensor attend_batch(const at::Tensor& q_nHLK, const at::Tensor& k_nGMK, const at::Tensor& v_nGMK,
                        const Mask& mask) {
  const SerialMatrixLibrary serial;
  const auto heads = q_nHLK.size(1), length = q_nHLK.size(2), keys = k_nGMK.size(2);
  const auto allowed = allowed_keys(mask, length, keys, q_nHLK.options());
  return at::scaled_dot_product_attention(q_nHLK, for_each_head(k_nGMK, heads), for_each_head(v_nGMK, heads),
                                          allowed, 0.0, mask.causal && !allowed && length > 1)
      .transpose(1, 2)
      .flatten(2);
}

void write_keys(const std::vector<SequenceRows>& sequences, const at::Tensor& k_TGK, const at::Tensor& v_TGK,
                const std::vector<KeysAndValues>& to) {
  const float *k = k_TGK.const_data_ptr<float>(), *v = v_TGK.const_data_ptr<float>();
  for (std::size_t s = 0; s < sequences.size(); ++s)
    write_sequence(sequences[s], k, v, k_TGK.size(1), k_TGK.size(2), to[s]);
}

at::Tensor attend_sequences(const std::vector<SequenceRows>& sequences,
                            const std::vector<KeysAndValues>& stored, const at::Tensor& q_THK,
                            std::int64_t key_heads, const Mask& mask) {
  at::Tensor out = at::empty({q_THK.size(0), q_THK.size(1) * q_THK.size(2)}, q_THK.options());
  const HeadRows heads{q_THK.const_data_ptr<float>(), out.mutable_data_ptr<float>(), q_THK.size(1), key_heads,
                       q_THK.size(2)};
  on_threads(static_cast<std::int64_t>(sequences.size()), [&](std::int64_t i) {
    const auto s = static_cast<std::size_t>(i);
    attend_sequence(sequences[s], stored[s], heads, mask);
  });
  return out;
}

const LengthGroups& AttentionRows::by_length() const {
  if (groups_->lengths.empty()) *groups_ = groups_by_length(rows_);
  return *groups_;
}

at::Tensor attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                  const at::Tensor& v_TGK, const Mask& mask) {
  if (q_THK.device().is_cpu() && needs_gradient(std::array{q_THK, k_TGK, v_TGK}))
    return differentiable_attend(rows.packed(), q_THK, k_TGK, v_TGK, mask);
  if (on_kernels(q_THK) && on_kernels(k_TGK) && on_kernels(v_TGK))
    return attend_each(rows.packed(), q_THK, k_TGK, v_TGK, mask);
  return attend_by_length(rows.by_length(), q_THK, k_TGK, v_TGK, mask);
}

}  // namespace rocket
