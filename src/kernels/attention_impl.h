// Attention: blocks of rows against all keys that they see, softmax in place, times the values.
#pragma once

#include "kernels/product_impl.h"
#include "kernels/squash_impl.h"

namespace rocket {
namespace {

/// Rows whose scores are computed together, and the keys that each sees: [seen_from, seen_until + row *
/// step).
struct ScoreBlock {
  std::int64_t rows = 0, stride = 0;
  const float* q = nullptr;
  float* out = nullptr;
  std::int64_t first_position = 0,
               step = 0;  // of row 0 among all positions; 1 if rows are positions, 0 if heads
};

/// One past the last key that the row at `position` of `positions` sees. `a`: HeadAttention or HeadGradient.
template <class Attention>
std::int64_t seen_until(const Attention& a, std::int64_t position, std::int64_t positions) {
  if (a.causal) return position + 1;
  return a.window > 0 ? least(positions, position + a.window) : positions;
}

/// scores -> softmax(scale * scores) of one row, unnormalised; zero outside [from, until). Returns 1 / sum.
/// A key's lane depends on its position alone, so that the sum's order does too.
float softmax_row(float* scores, std::int64_t begin, std::int64_t end, std::int64_t from, std::int64_t until,
                  float scale) {
  const std::int64_t seen = round_up(until, kLanes);
  for (std::int64_t i = begin; i < from; ++i) scores[i] = -__builtin_inff();
  for (std::int64_t i = until; i < seen; ++i) scores[i] = -__builtin_inff();
  for (std::int64_t i = seen; i < end; i += kLanes) store(scores + i, Vector{});
  Vector top = same(-__builtin_inff());
  for (std::int64_t i = begin; i < seen; i += kLanes) {
    const Vector s = load(scores + i) * scale;
    store(scores + i, s);
    top = greater(s, top);
  }
  const float high = largest(top);
  Vector total{};
  for (std::int64_t i = begin; i < seen; i += kLanes) {
    const Vector p = exponential(load(scores + i) - high);
    store(scores + i, p);
    total += p;
  }
  return 1.0f / sum(total);
}

/// Products of queries and keys -> scores where these have a cap. Returns what is left to multiply them with.
float cap_scores(float* products, std::int64_t count, const Squash& by) {
  if (by.cap == 0) return by.scale;
  squash(products, count, by);
  return 1;
}

void attend_block(const HeadAttention& a, const ScoreBlock& block) {
  const std::int64_t positions = a.cached + a.fresh;
  const auto until = [&](std::int64_t row) {
    return seen_until(a, block.first_position + row * block.step, positions);
  };
  const auto from = [&](std::int64_t row) {
    return a.window > 0 ? most(0, block.first_position + row * block.step + 1 - a.window) : 0;
  };
  const std::int64_t begin = from(0) / kPanel * kPanel, end = until(block.rows - 1);
  const std::int64_t padded = round_up(end, kLanes), width = round_up(positions, kPanel);
  float* scores = a.scratch;
  multiply({block.rows,
            a.dim,
            padded - begin,
            block.q,
            block.stride,
            {a.keys + key_place(begin, 0, a.dim), kPanel, a.dim * kPanel},
            scores + begin,
            width,
            false});
  float norms[kAttentionRows];
  for (std::int64_t r = 0; r < block.rows; ++r) {
    float* row = scores + r * width;
    const float scale = cap_scores(row + begin, padded - begin, a.scores);
    norms[r] = softmax_row(row, begin, padded, from(r), until(r), scale);
  }
  multiply({block.rows,
            end - begin,
            a.dim,
            scores + begin,
            width,
            {a.values + begin * a.values_stride, a.values_stride, kPanel},
            block.out,
            block.stride,
            false});
  for (std::int64_t r = 0; r < block.rows; ++r) {
    float* row = block.out + r * block.stride;
    for (std::int64_t i = 0; i < a.dim; ++i) row[i] *= norms[r];
  }
}

void attend(const HeadAttention& a) {
  if (a.fresh == 1) {  // the query heads are the rows
    for (std::int64_t h = 0; h < a.heads; h += kAttentionRows) {
      attend_block(
          a, {least(kAttentionRows, a.heads - h), a.dim, a.q + h * a.dim, a.out + h * a.dim, a.cached, 0});
    }
    return;
  }
  for (std::int64_t h = 0; h < a.heads; ++h) {
    for (std::int64_t row = 0; row < a.fresh; row += kAttentionRows) {
      const std::int64_t at = row * a.row_stride + h * a.dim;
      attend_block(
          a, {least(kAttentionRows, a.fresh - row), a.row_stride, a.q + at, a.out + at, a.cached + row, 1});
    }
  }
}

}  // namespace
}  // namespace rocket
