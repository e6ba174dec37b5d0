#include "selection/dot.h"

#include <array>
#include <cstring>

// AVX2 without FMA adds the same numbers in the same order as plain SSE2 does, eight at a time instead of
// four: machines of both kinds agree on every bit.
#if defined(__x86_64__) && defined(__GNUC__)
#define ROCKET_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define ROCKET_WIDE
#endif
#define ROCKET_INLINE inline __attribute__((always_inline))

namespace rocket {
namespace {

// Read in place from rows of floats, which are aligned as floats only.
using HalfFloats = float __attribute__((vector_size(4 * sizeof(float)), aligned(sizeof(float)), may_alias));
using Doubles = double __attribute__((vector_size(4 * sizeof(double))));

constexpr std::int64_t kDoubleLanes = 8;

template <class Number, std::size_t width>
ROCKET_INLINE Number tree_sum(std::array<Number, width>& sums) {
  for (std::size_t half = width / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) {
      sums[i] += sums[i + half];
    }
  }
  return sums[0];
}

}  // namespace

ROCKET_WIDE double dot_double(const float* a, const float* b, std::int64_t d) {
  Doubles low{}, high{};
  std::int64_t i = 0;
  for (; i + kDoubleLanes <= d; i += kDoubleLanes) {
    const auto* x = reinterpret_cast<const HalfFloats*>(a + i);
    const auto* y = reinterpret_cast<const HalfFloats*>(b + i);
    low += __builtin_convertvector(x[0], Doubles) * __builtin_convertvector(y[0], Doubles);
    high += __builtin_convertvector(x[1], Doubles) * __builtin_convertvector(y[1], Doubles);
  }
  std::array<double, kDoubleLanes> sums;
  std::memcpy(sums.data(), &low, sizeof(Doubles));
  std::memcpy(sums.data() + kDoubleLanes / 2, &high, sizeof(Doubles));
  for (std::int64_t j = i; j < d; ++j) {
    sums[static_cast<std::size_t>(j - i)] += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  }
  return tree_sum(sums);
}

}  // namespace rocket
