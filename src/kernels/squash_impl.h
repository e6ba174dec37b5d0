// Scores and logits with a cap.
#pragma once

#include "kernels/kernels.h"
#include "kernels/vector.h"

namespace rocket {
namespace {

/// A quotient of polynomials to about three units in the last place (that of Eigen's ptanh).
inline Vector tanh_of(Vector x) {
  constexpr float kOne = 7.90531110763549805f;  // from here on the quotient is 1
  const Vector bounded = x < -kOne ? same(-kOne) : (x > kOne ? same(kOne) : x);
  const Vector square = bounded * bounded;
  Vector p = same(-2.76076847742355e-16f);
  p = p * square + 2.00018790482477e-13f;
  p = p * square - 8.60467152213735e-11f;
  p = p * square + 5.12229709037114e-08f;
  p = p * square + 1.48572235717979e-05f;
  p = p * square + 6.37261928875436e-04f;
  p = p * square + 4.89352455891786e-03f;
  Vector q = same(1.19825839466702e-06f);
  q = q * square + 1.18534705686654e-04f;
  q = q * square + 2.26843463243900e-03f;
  q = q * square + 4.89352518554385e-03f;
  return bounded * p / q;
}

inline Vector squashed(Vector x, const Squash& by) {
  const Vector scaled = x * by.scale;
  return by.cap > 0 ? tanh_of(scaled / by.cap) * by.cap : scaled;
}

void squash(float* x, std::int64_t count, const Squash& by) {
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) store(x + i, squashed(load(x + i), by));
  if (whole < count)
    store_some(x + whole, squashed(load_some(x + whole, count - whole, 0.0f), by), count - whole);
}

void squash_backward(const float* y, std::int64_t count, const Squash& by, float* gradient) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float share = by.cap > 0 ? y[i] / by.cap : 0.0f;
    gradient[i] *= (1.0f - share * share) * by.scale;
  }
}

}  // namespace
}  // namespace rocket
