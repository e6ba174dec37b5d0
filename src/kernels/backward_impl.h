// Gradients of what stands between the products. dx is the gradient with respect to x.
#pragma once

#include "kernels/attention_impl.h"
#include "kernels/encoder_impl.h"

namespace rocket {
namespace {

void rms_norm_backward(const float* x, const float* weight, const float* dy, float eps, std::int64_t width,
                       float* dx) {
  Vector squares{}, products{};
  for (std::int64_t i = 0; i < width; i += kLanes) {
    const Vector v = load_at(x, i, width);
    squares += v * v;
    products += v * (load_at(dy, i, width) * load_at(weight, i, width));
  }
  const float count = static_cast<float>(width);
  const float scale = 1.0f / __builtin_sqrtf(sum(squares) / count + eps);
  const float shift = sum(products) * scale * scale * scale / count;
  for (std::int64_t i = 0; i < width; i += kLanes) {
    const Vector direct = load_at(dy, i, width) * load_at(weight, i, width) * scale;
    store_at(dx, i, width, direct - load_at(x, i, width) * shift);
  }
}

void silu_times_backward(const float* gate, const float* up, const float* dy, std::int64_t count,
                         float* dgate, float* dup) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Vector g = load_at(gate, i, count), d = load_at(dy, i, count);
    const Vector share = 1.0f / (exponential(-g) + 1.0f);
    store_at(dup, i, count, d * g * share);
    store_at(dgate, i, count, d * load_at(up, i, count) * share * (1.0f + g * (1.0f - share)));
  }
}

void probabilities(float* logits, std::int64_t count, float log_sum) {
  for (std::int64_t i = 0; i < count; i += kLanes)
    store_at(logits, i, count, exponential(load_at(logits, i, count) - log_sum));
}

/// The rows [first, first + rows) of one head, and the keys [begin, end) that any of them sees.
struct GradientBlock {
  std::int64_t head = 0, first = 0, rows = 0, begin = 0, end = 0;
};

/// Where the pieces of a block lie in the scratch of a HeadGradient. Keys stand at their own positions.
struct GradientRoom {
  GradientRoom(const HeadGradient& a)
      : width(round_up(a.length, kPanel)),
        p(a.scratch),
        slopes(p + kAttentionRows * width),
        ds(slopes + kAttentionRows * width),
        turned(ds + kAttentionRows * width),
        q(turned + kAttentionRows * width),
        dout(q + kAttentionRows * a.dim + kReadAhead) {}

  std::int64_t width;
  float *p, *slopes, *ds;  // [kAttentionRows, width]; slopes: of the scores, by what they are made of
  float* turned;           // [keys, rows]
  float *q, *dout;         // [kAttentionRows, dim], room to read ahead behind them
};

void transpose(const float* from, std::int64_t rows, std::int64_t columns, std::int64_t stride, float* to) {
  for (std::int64_t m = 0; m < columns; ++m) {
    for (std::int64_t r = 0; r < rows; ++r) to[m * rows + r] = from[r * stride + m];
  }
}

void copy_rows(const float* from, std::int64_t rows, std::int64_t dim, std::int64_t stride, float* to) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < dim; ++i) to[r * dim + i] = from[r * stride + i];
  }
}

float dot(const float* a, const float* b, std::int64_t count) {
  Vector total{};
  for (std::int64_t i = 0; i < count; i += kLanes) total += load_at(a, i, count) * load_at(b, i, count);
  return sum(total);
}

/// The weights of the keys, as attend_block() computes them, normalised; and the slopes of their scores.
void recompute_weights(const HeadGradient& a, const GradientBlock& b, const GradientRoom& room) {
  const RightSide keys{a.keys + key_place(b.begin, 0, a.dim), kPanel, a.dim * kPanel};
  multiply({b.rows, a.dim, b.end - b.begin, room.q, a.dim, keys, room.p + b.begin, room.width, false});
  for (std::int64_t r = 0; r < b.rows; ++r) {
    const std::int64_t position = b.first + r;
    const std::int64_t from = a.window > 0 ? most(0, position + 1 - a.window) : 0;
    float *row = room.p + r * room.width, *slopes = room.slopes + r * room.width;
    const float scale = cap_scores(row + b.begin, b.end - b.begin, a.scores);
    for (std::int64_t m = b.begin; m < b.end; ++m) slopes[m] = 1;
    squash_backward(row + b.begin, b.end - b.begin, a.scores, slopes + b.begin);
    const float norm =
        softmax_row(row, b.begin, round_up(b.end, kLanes), from, seen_until(a, position, a.length), scale);
    for (std::int64_t m = b.begin; m < b.end; ++m) row[m] *= norm;
  }
}

/// From the weights' gradients, which stand in `ds`, to those of the products of queries and keys.
void through_softmax(const HeadGradient& a, const GradientBlock& b, const GradientRoom& room) {
  for (std::int64_t r = 0; r < b.rows; ++r) {
    const float* out = a.out + (b.first + r) * a.row_stride + b.head * a.dim;
    const float mean = dot(room.dout + r * a.dim, out, a.dim);
    const float *p = room.p + r * room.width, *slopes = room.slopes + r * room.width;
    float* ds = room.ds + r * room.width;
    for (std::int64_t m = b.begin; m < b.end; ++m) ds[m] = p[m] * (ds[m] - mean) * slopes[m];
  }
}

void attend_block_backward(const HeadGradient& a, const GradientBlock& b) {
  const GradientRoom room(a);
  const std::int64_t at = b.first * a.row_stride + b.head * a.dim, keys = b.end - b.begin;
  const std::int64_t key_at = b.begin * a.key_stride;
  copy_rows(a.q + at, b.rows, a.dim, a.row_stride, room.q);
  copy_rows(a.dout + at, b.rows, a.dim, a.row_stride, room.dout);
  recompute_weights(a, b, room);
  transpose(room.p + b.begin, b.rows, keys, room.width, room.turned);
  multiply({keys,
            b.rows,
            a.dim,
            room.turned,
            b.rows,
            {room.dout, a.dim, kPanel},
            a.dv + key_at,
            a.key_stride,
            true});
  const RightSide values{a.values + key_place(b.begin, 0, a.dim), kPanel, a.dim * kPanel};
  multiply({b.rows, a.dim, keys, room.dout, a.dim, values, room.ds + b.begin, room.width, false});
  through_softmax(a, b, room);
  const RightSide plain_keys{a.plain_keys + b.begin * a.dim, a.dim, kPanel};
  multiply({b.rows, keys, a.dim, room.ds + b.begin, room.width, plain_keys, a.dq + at, a.row_stride, false});
  transpose(room.ds + b.begin, b.rows, keys, room.width, room.turned);
  multiply(
      {keys, b.rows, a.dim, room.turned, b.rows, {room.q, a.dim, kPanel}, a.dk + key_at, a.key_stride, true});
}

void attend_backward(const HeadGradient& a) {
  for (std::int64_t h = 0; h < a.heads; ++h) {
    for (std::int64_t first = 0; first < a.length; first += kAttentionRows) {
      const std::int64_t rows = least(kAttentionRows, a.length - first);
      const std::int64_t seen_from = a.window > 0 ? most(0, first + 1 - a.window) : 0;
      attend_block_backward(
          a, {h, first, rows, seen_from / kPanel * kPanel, seen_until(a, first + rows - 1, a.length)});
    }
  }
}

}  // namespace
}  // namespace rocket
