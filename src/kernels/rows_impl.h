// What stands between the products: norm, activation, rotation, and sums over a vocabulary.
#pragma once

#include "kernels/kernels.h"
#include "kernels/vector.h"

namespace rocket {
namespace {

void rms_norm(const float* x, const float* weight, float eps, std::int64_t width, float* out) {
  const std::int64_t whole = width / kLanes * kLanes;
  Vector squares{};
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    const Vector v = load(x + i);
    squares += v * v;
  }
  if (whole < width) {
    const Vector v = load_some(x + whole, width - whole, 0.0f);
    squares += v * v;
  }
  const float scale = 1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(width) + eps);
  for (std::int64_t i = 0; i < whole; i += kLanes) store(out + i, load(weight + i) * (load(x + i) * scale));
  for (std::int64_t i = whole; i < width; ++i) out[i] = weight[i] * (x[i] * scale);
}

Vector silu_of(Vector x) {
  return x / (exponential(-x) + 1.0f);
}

void silu_times(float* gate, const float* up, std::int64_t count) {
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) store(gate + i, silu_of(load(gate + i)) * load(up + i));
  if (whole == count) return;
  const Vector rest = silu_of(load_some(gate + whole, count - whole, 0.0f));
  store_some(gate + whole, rest * load_some(up + whole, count - whole, 0.0f), count - whole);
}

void rotate(float* x, const float* cos, const float* sin, std::int64_t half) {
  for (std::int64_t i = 0; i < half; ++i) {
    const float first = x[i], second = x[i + half];
    x[i] = first * cos[i] - second * sin[i];
    x[i + half] = second * cos[i] + first * sin[i];
  }
}

void add_logits(const float* logits, std::int64_t count, LogSumExp& state) {
  Vector top = same(-__builtin_inff());
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) top = greater(load(logits + i), top);
  const Vector rest = load_some(logits + whole, count - whole, -__builtin_inff());
  const float high = largest(greater(rest, top));
  const float before = state.sum > 0 ? state.most : high;
  const float now = high > before ? high : before;
  Vector total = exponential(rest - now);
  for (std::int64_t i = 0; i < whole; i += kLanes) total += exponential(load(logits + i) - now);
  const float kept = state.sum > 0 ? state.sum * exponential(same(before - now))[0] : 0.0f;
  state = {now, kept + sum(total)};
}

void find_best(const float* logits, std::int64_t count, std::int64_t first, Best& best) {
  Vector top = same(-__builtin_inff());
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) top = greater(load(logits + i), top);
  const float high = largest(greater(load_some(logits + whole, count - whole, -__builtin_inff()), top));
  if (best.index >= 0 && !(high > best.value)) return;
  std::int64_t i = 0;
  while (i + 1 < count && logits[i] != high) ++i;
  best = {high, first + i};
}

}  // namespace
}  // namespace rocket
