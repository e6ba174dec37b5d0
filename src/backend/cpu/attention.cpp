#include "backend/cpu/attention.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "backend/backward.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/float_matrix.h"
#include "backend/threads.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

/// What the kernels' calls for one key head have in common.
struct HeadShape {
  std::int64_t heads = 0, dim = 0;  // query heads of the key head
  AttentionRule rule;

  Squash scores() const {
    const float usual = 1.0f / std::sqrt(static_cast<float>(dim));
    return {rule.scale > 0 ? static_cast<float>(rule.scale) : usual, static_cast<float>(rule.cap)};
  }
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
  kernels().attend({s.fresh, s.cached, shape.heads, shape.dim, shape.rule.window, shape.rule.causal,
                    shape.scores(), from.data, to.data, from.stride, keys, values, shape.dim,
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

HeadShape head_shape(const at::Tensor& q_THK, const at::Tensor& k_TGK, const AttentionRule& rule) {
  return {q_THK.size(1) / k_TGK.size(1), q_THK.size(2), rule};
}

at::Tensor attend_each(const PackedRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                       const at::Tensor& v_TGK, const AttentionRule& rule) {
  const at::Tensor q_all = q_THK.contiguous(), k_all = k_TGK.contiguous(), v_all = v_TGK.contiguous();
  at::Tensor out_TO = at::empty({q_all.size(0), q_all.size(1) * q_all.size(2)}, q_all.options());
  const FloatMatrix q(q_all), k(k_all), v(v_all), out(out_TO);
  const HeadShape shape = head_shape(q_THK, k_TGK, rule);
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
  kernels().attend_backward({length, shape.heads, dim, shape.rule.window, shape.rule.causal, shape.scores(),
                             q.data, a.out.read(blocks.queries, room).data,
                             a.dout.read(blocks.queries, room).data, dq.data, q.stride, keys, values,
                             plain_keys, dk.data, dv.data, dk.stride, room.take(scratch)});
  a.dq.store(blocks.queries, dq);
  a.dk.store(blocks.keys, dk);
  a.dv.store(blocks.keys, dv);
}

at::Tensor differentiable_attend(const PackedRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                                 const at::Tensor& v_TGK, const AttentionRule& rule) {
  const auto plain = [](const at::Tensor& x) { return x.detach().contiguous(); };
  const at::Tensor q = plain(q_THK), k = plain(k_TGK), v = plain(v_TGK);
  std::array<at::Tensor, 1> out{attend_each(rows, q, k, v, rule)};
  const at::Tensor result = out[0];
  const std::vector<std::int64_t> starts = rows.starts;
  differentiate(std::array{q_THK, k_TGK, v_TGK}, out, [=](const Gradients& dout) {
    const at::Tensor dout_TO = plain(dout[0]);
    const Gradients sums{at::empty_like(q), at::empty_like(k), at::empty_like(v)};
    const AttentionGradient a{FloatMatrix(q),       FloatMatrix(k),       FloatMatrix(v),
                              FloatMatrix(result),  FloatMatrix(dout_TO), FloatMatrix(sums[0]),
                              FloatMatrix(sums[1]), FloatMatrix(sums[2])};
    const HeadShape shape = head_shape(q, k, rule);
    for_each_head(starts, k.size(1), shape, [&](const HeadBlocks& blocks, std::int64_t length) {
      attend_backward(a, shape, blocks, length);
    });
    return sums;
  });
  return out[0];
}

}  // namespace

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
                            std::int64_t key_heads, const AttentionRule& rule) {
  const at::Tensor q_all = q_THK.contiguous();
  at::Tensor out_TO = at::empty({q_all.size(0), q_all.size(1) * q_all.size(2)}, q_all.options());
  const FloatMatrix q(q_all), out(out_TO);
  const HeadShape shape{q_THK.size(1) / key_heads, q_THK.size(2), rule};
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

at::Tensor CpuBackend::attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                              const at::Tensor& v_TGK, const AttentionRule& rule) const {
  return needs_gradient(std::array{q_THK, k_TGK, v_TGK})
             ? differentiable_attend(rows.packed(), q_THK, k_TGK, v_TGK, rule)
             : attend_each(rows.packed(), q_THK, k_TGK, v_TGK, rule);
}

}  // namespace rocket
