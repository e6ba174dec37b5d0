// What stands between the products of an encoder: the norm of a sum, and gelu.
#pragma once

#include "kernels/kernels.h"
#include "kernels/vector.h"

namespace rocket {
namespace {

/// Lanes behind the last column are zero.
inline Vector load_at(const float* row, std::int64_t i, std::int64_t width) {
  return i + kLanes <= width ? load(row + i) : load_some(row + i, width - i, 0.0f);
}

inline void store_at(float* row, std::int64_t i, std::int64_t width, Vector v) {
  if (i + kLanes <= width) {
    store(row + i, v);
  } else {
    store_some(row + i, v, width - i);
  }
}

void sum_norm(const SumNorm& n) {
  Vector total{};
  for (std::int64_t i = 0; i < n.width; i += kLanes) {
    const Vector x = load_at(n.a, i, n.width) + load_at(n.b, i, n.width) + load_at(n.c, i, n.width);
    store_at(n.out, i, n.width, x);
    total += x;
  }
  const float count = static_cast<float>(n.width), mean = sum(total) / count;
  const std::int64_t whole = n.width / kLanes * kLanes;
  Vector squares{};
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    const Vector x = load(n.out + i) - mean;
    squares += x * x;
  }
  if (whole < n.width) {
    const Vector x = load_some(n.out + whole, n.width - whole, mean) - mean;
    squares += x * x;
  }
  const float scale = 1.0f / __builtin_sqrtf(sum(squares) / count + n.eps);
  for (std::int64_t i = 0; i < n.width; i += kLanes) {
    const Vector x = (load_at(n.out, i, n.width) - mean) * scale;
    store_at(n.out, i, n.width, x * load_at(n.weight, i, n.width) + load_at(n.shift, i, n.width));
  }
}

/// x Phi(x), from the upper tail of the normal distribution: exp(-x^2 / 2) times a polynomial in 1 / (1 +
/// 0.23 |x|), fitted to erfcx with a relative error of 5e-8. Small values on the left keep their digits.
inline Vector gelu_of(Vector x) {
  const Vector size = x < 0.0f ? -x : x;
  const Vector t = 1.0f / (size * 0.23f + 1.0f);
  Vector p = same(-7.83973187e-2f);
  p = p * t + 2.90057510e-1f;
  p = p * t - 2.77351677e-1f;
  p = p * t + 3.00533116e-1f;
  p = p * t - 3.22268158e-2f;
  p = p * t + 1.19195625e-1f;
  p = p * t + 8.58516619e-2f;
  p = p * t + 9.23647508e-2f;
  p = p * t - 2.68655203e-5f;
  return greater(x, same(0.0f)) - size * (exponential(size * size * -0.5f) * p);
}

/// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
inline Vector gelu_tanh_of(Vector x) {
  return x / (exponential((x + x * x * x * 0.044715f) * -1.59576912f) + 1.0f);
}

template <Vector (*function)(Vector)>
void of_sum(float* x, const float* bias, std::int64_t width) {
  for (std::int64_t i = 0; i < width; i += kLanes)
    store_at(x, i, width, function(load_at(x, i, width) + load_at(bias, i, width)));
}

}  // namespace
}  // namespace rocket
