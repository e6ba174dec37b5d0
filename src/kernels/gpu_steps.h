// The steps of gpu.h, as a block of threads computes its share of one. The same source also compiles for the
// host, where a block is one thread: so tests compare it with LibTorch on machines without a GPU.
#pragma once

#include <cmath>
#include <cstring>

#include "base/random.h"
#include "kernels/gpu.h"

#ifdef __CUDACC__
#define ROCKET_ON_BOTH __host__ __device__
#else
#define ROCKET_ON_BOTH
#endif

namespace rocket {

/// The upper half of a float32.
struct GpuBfloat16 {
  std::uint16_t bits;
};

ROCKET_ON_BOTH inline float widened(float x) {
  return x;
}

ROCKET_ON_BOTH inline float widened(GpuBfloat16 x) {
  const std::uint32_t bits = std::uint32_t{x.bits} << 16;
  float wide;
  memcpy(&wide, &bits, sizeof wide);
  return wide;
}

ROCKET_ON_BOTH inline void narrow_into(float x, float& narrow) {
  narrow = x;
}

/// To the nearest, ties to even; what is no number stays none.
ROCKET_ON_BOTH inline void narrow_into(float x, GpuBfloat16& narrow) {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  narrow.bits = static_cast<std::uint16_t>(is_nan ? (bits >> 16) | 0x40u
                                                  : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <class T>
ROCKET_ON_BOTH float rounded(float x) {
  T narrow;
  narrow_into(x, narrow);
  return widened(narrow);
}

/// The block of the host: one thread, which computes all.
struct OneThread {
  std::int64_t first = 0, step = 1;  // this thread's elements
  float sum(float mine) const { return mine; }
};

// One row a block.

template <class T, class Block>
ROCKET_ON_BOTH void rms_norm_row(const GpuRmsNorm& a, std::int64_t row, const Block& block) {
  const T* x = static_cast<const T*>(a.x) + row * a.width;
  const T* add = a.add != nullptr ? static_cast<const T*>(a.add) + row * a.width : nullptr;
  T* sum = a.sum != nullptr ? static_cast<T*>(a.sum) + row * a.width : nullptr;
  const auto at = [&](std::int64_t i) {
    return add != nullptr ? rounded<T>(widened(x[i]) + widened(add[i])) : widened(x[i]);
  };
  float squares = 0;
  for (std::int64_t i = block.first; i < a.width; i += block.step) squares += at(i) * at(i);
  const float scale = 1 / sqrtf(block.sum(squares) / static_cast<float>(a.width) + a.eps);
  const T* weight = static_cast<const T*>(a.weight);
  T* y = static_cast<T*>(a.y) + row * a.width;
  for (std::int64_t i = block.first; i < a.width; i += block.step) {
    const float s = at(i);  // before its place is written: x and sum may be one
    if (sum != nullptr) narrow_into(s, sum[i]);
    narrow_into(widened(weight[i]) * rounded<T>(s * scale), y[i]);
  }
}

template <class T, class Block>
ROCKET_ON_BOTH void rotate_row(const GpuRotation& a, std::int64_t row, const Block& block) {
  const std::int64_t half = a.width / 2;
  const T *cosines = static_cast<const T*>(a.cos) + row * half,
          *sines = static_cast<const T*>(a.sin) + row * half;
  T* x = static_cast<T*>(a.x) + row * a.heads * a.width;
  for (std::int64_t pair = block.first; pair < a.heads * half; pair += block.step) {
    const std::int64_t i = pair % half;
    T *first = x + pair / half * a.width + i, *second = first + half;
    const float f = widened(*first), s = widened(*second), c = widened(cosines[i]), n = widened(sines[i]);
    narrow_into(rounded<T>(f * c) - rounded<T>(s * n), *first);
    narrow_into(rounded<T>(s * c) + rounded<T>(f * n), *second);
  }
}

template <class Block>
ROCKET_ON_BOTH void store_row(const GpuStoreRows& a, std::int64_t row, const Block& block) {
  const std::int64_t words = a.row_bytes / 4, from = a.from != nullptr ? a.from[row] : row, to = a.to[row];
  const auto copy = [&](const void* source, void* target) {
    const std::uint32_t* read = static_cast<const std::uint32_t*>(source) + from * words;
    std::uint32_t* write = static_cast<std::uint32_t*>(target) + to * words;
    for (std::int64_t i = block.first; i < words; i += block.step) write[i] = read[i];
  };
  copy(a.k, a.keys);
  copy(a.v, a.values);
}

// Elements, wherever they are.

template <class T, class Block>
ROCKET_ON_BOTH void silu_times_elements(const GpuSiluTimes& a, const Block& block) {
  const T *gate = static_cast<const T*>(a.gate), *up = static_cast<const T*>(a.up);
  T* y = static_cast<T*>(a.y);
  for (std::int64_t i = block.first; i < a.count; i += block.step) {
    const float g = widened(gate[i]);
    narrow_into(rounded<T>(g / (1 + expf(-g))) * widened(up[i]), y[i]);
  }
}

template <class T, class Block>
ROCKET_ON_BOTH void keep_ranks_elements(const GpuKeepRanks& a, const Block& block) {
  T* hidden = static_cast<T*>(a.hidden);
  for (std::int64_t i = block.first; i < a.rows * a.ranks; i += block.step) {
    const std::int64_t rank = i % a.ranks;
    const bool own = a.number_of_row[i / a.ranks] == a.number[rank];
    narrow_into(own ? widened(hidden[i]) * a.scale[rank] : 0.0f, hidden[i]);
  }
}

/// One Philox block at a time, four neighbouring features.
template <class Block>
ROCKET_ON_BOTH void dropout_elements(const GpuDropout& a, const Block& block) {
  const std::int64_t each = (a.width + 3) / 4;
  for (std::int64_t i = block.first; i < a.rows * each; i += block.step) {
    const std::int64_t row = i / each, part = i % each;
    const auto words = philox(a.key, static_cast<std::uint64_t>(a.upper[row]) | a.input,
                              static_cast<std::uint64_t>(a.lower[row] + part));
    for (int j = 0; j < 4 && 4 * part + j < a.width; ++j)
      a.kept[row * a.width + 4 * part + j] = words[j] >= a.threshold;
  }
}

}  // namespace rocket
