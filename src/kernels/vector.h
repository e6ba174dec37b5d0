// Vectors of floats of the width that the including file asks for (ROCKET_VECTOR_BYTES).
// Included by files that are compiled for different instruction sets: everything is in an anonymous namespace
// and nothing of the standard library is instantiated, else the linker could give one set's code to a machine
// without it.
#pragma once

#include <cstdint>
#include <cstring>

namespace rocket {
namespace {

using Vector __attribute__((vector_size(ROCKET_VECTOR_BYTES))) = float;
using IntVector __attribute__((vector_size(ROCKET_VECTOR_BYTES))) = std::int32_t;
constexpr std::int64_t kLanes = ROCKET_VECTOR_BYTES / 4;

constexpr std::int64_t least(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}
constexpr std::int64_t most(std::int64_t a, std::int64_t b) {
  return a > b ? a : b;
}
constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) {
  return (n + to - 1) / to * to;
}

/// Of floats, or of as many other values of their size.
template <class T>
Vector load(const T* from) {
  static_assert(sizeof(T) == sizeof(float));
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store(float* to, Vector v) {
  std::memcpy(to, &v, sizeof v);
}

inline Vector load_some(const float* from, std::int64_t count, float otherwise) {
  float all[kLanes];
  for (std::int64_t i = 0; i < kLanes; ++i) all[i] = i < count ? from[i] : otherwise;
  return load(all);
}

inline void store_some(float* to, Vector v, std::int64_t count) {
  float all[kLanes];
  store(all, v);
  for (std::int64_t i = 0; i < count; ++i) to[i] = all[i];
}

inline Vector same(float x) {
  return Vector{} + x;
}

inline Vector greater(Vector a, Vector b) {
  return a > b ? a : b;
}

using Four __attribute__((vector_size(16))) = float;
using Eight __attribute__((vector_size(32))) = float;
using Sixteen __attribute__((vector_size(64))) = float;

/// One number of all lanes: the upper half joins the lower one until one lane is left.
template <class Join>
float fold(Four v, Join join) {
  const Four two = join(v, __builtin_shufflevector(v, v, 2, 3, 2, 3));
  return join(two, __builtin_shufflevector(two, two, 1, 1, 1, 1))[0];
}

template <class Join>
float fold(Eight v, Join join) {
  return fold(join(__builtin_shufflevector(v, v, 0, 1, 2, 3), __builtin_shufflevector(v, v, 4, 5, 6, 7)),
              join);
}

template <class Join>
float fold(Sixteen v, Join join) {
  return fold(join(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                   __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)),
              join);
}

inline float sum(Vector v) {
  return fold(v, [](auto a, auto b) { return a + b; });
}

inline float largest(Vector v) {
  return fold(v, [](auto a, auto b) { return a > b ? a : b; });
}

/// e^x to about one unit in the last place (Cephes' polynomial); 0 below -87, e^88 above 88.
inline Vector exponential(Vector x) {
  const Vector clamped = x < -87.0f ? same(-87.0f) : (x > 88.0f ? same(88.0f) : x);
  const IntVector n =
      __builtin_convertvector(clamped * 1.44269504f + (clamped < 0.0f ? same(-0.5f) : same(0.5f)), IntVector);
  const Vector whole = __builtin_convertvector(n, Vector);
  const Vector r = (clamped - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vector p = same(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const IntVector bits = (n + 127) << 23;
  Vector power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -87.0f ? same(0.0f) : p * power;
}

}  // namespace
}  // namespace rocket
