#include "model/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "kernels/kernels.h"
#include "model/backward.h"
#include "model/float_matrix.h"
#include "model/product.h"
#include "model/threads.h"

namespace rocket {
namespace {

/// k or v for every query head: [n, G, M, K] -> [n, H, M, K].
at::Tensor repeated_heads(const at::Tensor& x_nGMK, std::int64_t heads) {
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

/// What the kernels' calls for one key head have in common.
struct HeadShape {
  std::int64_t heads = 0, dim = 0;  // query heads of the key head
  Mask mask;

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(dim)); }
};

/// Rows of one key head as packed keys behind `cached` earlier ones.
void write_packed(const FloatBlock<const float>& from, std::int64_t rows, std::int64_t cached,
                  std::int64_t dim, float* packed) {
  for (std::int64_t l = 0; l < rows; ++l) {
    float* key = packed + key_place(cached + l, 0, dim);
    for (std::int64_t i = 0; i < dim; ++i) key[i * kPanel] = from.data[l * from.stride + i];
  }
}

void write_plain(const FloatBlock<const float>& from, std::int64_t rows, std::int64_t dim, float* to) {
  for (std::int64_t l = 0; l < rows; ++l) std::copy_n(from.data + l * from.stride, dim, to + l * dim);
}

/// Attention of some rows' query heads of one key head, whose keys (packed) and values are written. Takes
/// room_to_attend() floats.
void attend_head(const SequenceRows& s, const HeadShape& shape, const Block& queries, const FloatMatrix& q,
                 const FloatMatrix& out, const float* keys, const float* values, ThreadRoom& room) {
  const FloatBlock<const float> from = q.read(queries, room);
  const FloatBlock<float> to = out.target(queries, room);
  kernels().attend({s.fresh, s.cached, shape.heads, shape.dim, shape.mask.window, shape.mask.causal,
                    shape.scale(), from.data, to.data, from.stride, keys, values, shape.dim,
                    room.take(attention_scratch(s.cached + s.fresh))});
  out.store(queries, to);
}

std::int64_t room_to_attend(const SequenceRows& s, const Block& queries) {
  return 2 * queries.size() + attention_scratch(s.cached + s.fresh);
}

/// What one key head has of some rows: its query heads, and itself.
struct HeadBlocks {
  HeadBlocks(std::int64_t first_row, std::int64_t rows, std::int64_t key_head, const HeadShape& shape)
      : queries{first_row, rows, key_head * shape.heads * shape.dim, shape.heads * shape.dim},
        keys{first_row, rows, key_head * shape.dim, shape.dim} {}

  Block queries, keys;
};

/// Calls work(blocks, length) for each key head of each sequence, on all threads. Heads of a sequence share
/// their rows' cache lines, so one thread takes all of them where there are sequences enough.
template <class Work>
void for_each_head(const std::vector<std::int64_t>& starts, std::int64_t key_heads, const HeadShape& shape,
                   const Work& work) {
  constexpr std::int64_t kSequencesPerThread = 4;
  const std::int64_t sequences = static_cast<std::int64_t>(starts.size()) - 1;
  const std::int64_t heads = sequences < kSequencesPerThread * threads_here() ? 1 : key_heads;
  on_threads(sequences * key_heads / heads, [&](std::int64_t i) {
    const auto s = static_cast<std::size_t>(i * heads / key_heads);
    const std::int64_t length = starts[s + 1] - starts[s];
    for (std::int64_t g = i * heads % key_heads, end = g + heads; length > 0 && g < end; ++g)
      work(HeadBlocks(starts[s], length, g, shape), length);
  });
}

HeadShape head_shape(const at::Tensor& q_THK, const at::Tensor& k_TGK, const Mask& mask) {
  return {q_THK.size(1) / k_TGK.size(1), q_THK.size(2), mask};
}

at::Tensor attend_each(const PackedRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                       const at::Tensor& v_TGK, const Mask& mask) {
  const at::Tensor q_all = q_THK.contiguous(), k_all = k_TGK.contiguous(), v_all = v_TGK.contiguous();
  at::Tensor out_TO = at::empty({q_all.size(0), q_all.size(1) * q_all.size(2)}, q_all.options());
  const FloatMatrix q(q_all), k(k_all), v(v_all), out(out_TO);
  const HeadShape shape = head_shape(q_THK, k_TGK, mask);
  for_each_head(rows.starts, k_all.size(1), shape, [&](const HeadBlocks& blocks, std::int64_t length) {
    const std::int64_t packed = whole_panels(length) * shape.dim + kReadAhead,
                       plain = length * shape.dim + kReadAhead;
    const SequenceRows alone{0, length, 0};
    ThreadRoom room(packed + plain + 2 * blocks.keys.size() + room_to_attend(alone, blocks.queries));
    float *keys = room.take(packed), *values = room.take(plain);
    write_packed(k.read(blocks.keys, room), length, 0, shape.dim, keys);
    write_plain(v.read(blocks.keys, room), length, shape.dim, values);
    attend_head(alone, shape, blocks.queries, q, out, keys, values, room);
  });
  return out_TO;
}

/// What the gradients of attention are made of and what they become.
struct AttentionGradient {
  FloatMatrix q, k, v, out, dout, dq, dk, dv;
};

/// Of one key head of one sequence.
void attend_backward(const AttentionGradient& a, const HeadShape& shape, const HeadBlocks& blocks,
                     std::int64_t length) {
  const std::int64_t dim = shape.dim, packed = whole_panels(length) * dim + kReadAhead,
                     plain = length * dim + kReadAhead, scratch = attention_gradient_scratch(length, dim);
  ThreadRoom room(2 * packed + plain + scratch + 4 * (blocks.queries.size() + blocks.keys.size()));
  float *keys = room.take(packed), *values = room.take(packed), *plain_keys = room.take(plain);
  const FloatBlock<const float> k = a.k.read(blocks.keys, room), q = a.q.read(blocks.queries, room);
  write_packed(k, length, 0, dim, keys);
  write_packed(a.v.read(blocks.keys, room), length, 0, dim, values);
  write_plain(k, length, dim, plain_keys);
  const FloatBlock<float> dq = a.dq.target(blocks.queries, room), dk = a.dk.target(blocks.keys, room),
                          dv = a.dv.target(blocks.keys, room);
  for (const FloatBlock<float>& sum : {dk, dv})
    for (std::int64_t l = 0; l < length; ++l) std::fill_n(sum.data + l * sum.stride, dim, 0.0f);
  kernels().attend_backward({length, shape.heads, dim, shape.mask.window, shape.mask.causal, shape.scale(),
                             q.data, a.out.read(blocks.queries, room).data,
                             a.dout.read(blocks.queries, room).data, dq.data, q.stride, keys, values,
                             plain_keys, dk.data, dv.data, dk.stride, room.take(scratch)});
  a.dq.store(blocks.queries, dq);
  a.dk.store(blocks.keys, dk);
  a.dv.store(blocks.keys, dv);
}

at::Tensor differentiable_attend(const PackedRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                                 const at::Tensor& v_TGK, const Mask& mask) {
  const auto plain = [](const at::Tensor& x) { return x.detach().contiguous(); };
  const at::Tensor q = plain(q_THK), k = plain(k_TGK), v = plain(v_TGK);
  std::array<at::Tensor, 1> out{attend_each(rows, q, k, v, mask)};
  const at::Tensor result = out[0];
  const std::vector<std::int64_t> starts = rows.starts;
  differentiate(std::array{q_THK, k_TGK, v_TGK}, out, [=](const Gradients& dout) {
    const at::Tensor dout_TO = plain(dout[0]);
    const Gradients sums{at::empty_like(q), at::empty_like(k), at::empty_like(v)};
    const AttentionGradient a{FloatMatrix(q),       FloatMatrix(k),       FloatMatrix(v),
                              FloatMatrix(result),  FloatMatrix(dout_TO), FloatMatrix(sums[0]),
                              FloatMatrix(sums[1]), FloatMatrix(sums[2])};
    const HeadShape shape = head_shape(q, k, mask);
    for_each_head(starts, k.size(1), shape, [&](const HeadBlocks& blocks, std::int64_t length) {
      attend_backward(a, shape, blocks, length);
    });
    return sums;
  });
  return out[0];
}

}  // namespace

at::Tensor attend_batch(const at::Tensor& q_nHLK, const at::Tensor& k_nGMK, const at::Tensor& v_nGMK,
                        const Mask& mask) {
  const SerialMatrixLibrary serial;
  const auto heads = q_nHLK.size(1), length = q_nHLK.size(2), keys = k_nGMK.size(2);
  const auto allowed = allowed_keys(mask, length, keys, q_nHLK.options());
  return at::scaled_dot_product_attention(q_nHLK, repeated_heads(k_nGMK, heads),
                                          repeated_heads(v_nGMK, heads), allowed, 0.0,
                                          mask.causal && !allowed && length > 1)
      .transpose(1, 2)
      .flatten(2);
}

void write_keys(const std::vector<SequenceRows>& sequences, const at::Tensor& k_TGK, const at::Tensor& v_TGK,
                const std::vector<KeysAndValues>& to) {
  const at::Tensor k_all = k_TGK.contiguous(), v_all = v_TGK.contiguous();
  const FloatMatrix k(k_all), v(v_all);
  const std::int64_t dim = k_TGK.size(2);
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const auto [first, fresh, cached] = sequences[s];
    for (std::int64_t g = 0; g < k_TGK.size(1); ++g) {
      const Block block{first, fresh, g * dim, dim};
      const std::int64_t capacity = to[s].capacity;
      ThreadRoom room(2 * block.size());
      write_packed(k.read(block, room), fresh, cached, dim, to[s].keys + g * dim * capacity);
      write_plain(v.read(block, room), fresh, dim, to[s].values + (g * capacity + cached) * dim);
    }
  }
}

at::Tensor attend_sequences(const std::vector<SequenceRows>& sequences,
                            const std::vector<KeysAndValues>& stored, const at::Tensor& q_THK,
                            std::int64_t key_heads, const Mask& mask) {
  const at::Tensor q_all = q_THK.contiguous();
  at::Tensor out_TO = at::empty({q_all.size(0), q_all.size(1) * q_all.size(2)}, q_all.options());
  const FloatMatrix q(q_all), out(out_TO);
  const HeadShape shape{q_THK.size(1) / key_heads, q_THK.size(2), mask};
  on_threads(static_cast<std::int64_t>(sequences.size()), [&](std::int64_t i) {
    const SequenceRows& s = sequences[static_cast<std::size_t>(i)];
    const KeysAndValues& of_s = stored[static_cast<std::size_t>(i)];
    for (std::int64_t g = 0; g < key_heads; ++g) {
      const Block queries = HeadBlocks(s.first_row, s.fresh, g, shape).queries;
      const std::int64_t key_head = g * shape.dim * of_s.capacity;
      ThreadRoom room(room_to_attend(s, queries));
      attend_head(s, shape, queries, q, out, of_s.keys + key_head, of_s.values + key_head, room);
    }
  });
  return out_TO;
}

const LengthGroups& AttentionRows::by_length() const {
  if (groups_->lengths.empty()) *groups_ = groups_by_length(rows_);
  return *groups_;
}

at::Tensor attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                  const at::Tensor& v_TGK, const Mask& mask) {
  if (holds_floats(q_THK)) {
    return needs_gradient(std::array{q_THK, k_TGK, v_TGK})
               ? differentiable_attend(rows.packed(), q_THK, k_TGK, v_TGK, mask)
               : attend_each(rows.packed(), q_THK, k_TGK, v_TGK, mask);
  }
  return attend_by_length(rows.by_length(), q_THK, k_TGK, v_TGK, mask);
}

}  // namespace rocket
