// The steps of gpu.h, as a block of threads computes its share of one. The same source also compiles for the
// host, where a block is one thread: so tests compare it with LibTorch on machines without a GPU.
#pragma once

#include <cfloat>
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
  float most(float mine) const { return mine; }
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
ROCKET_ON_BOTH void rms_norm_backward_row(const GpuRmsNormBackward& a, std::int64_t row, const Block& block) {
  const std::int64_t start = row * a.width;
  const T *dy = static_cast<const T*>(a.dy) + start, *s = static_cast<const T*>(a.s) + start,
          *ds = a.ds != nullptr ? static_cast<const T*>(a.ds) + start : nullptr,
          *weight = static_cast<const T*>(a.weight);
  float squares = 0, products = 0;
  for (std::int64_t i = block.first; i < a.width; i += block.step) {
    squares += widened(s[i]) * widened(s[i]);
    products += widened(weight[i]) * widened(dy[i]) * widened(s[i]);
  }
  const auto width = static_cast<float>(a.width);
  const float scale = 1 / sqrtf(block.sum(squares) / width + a.eps);
  const float pull = block.sum(products) / width * scale * scale * scale;
  T* dx = static_cast<T*>(a.dx) + start;
  for (std::int64_t i = block.first; i < a.width; i += block.step) {
    const float d = widened(weight[i]) * widened(dy[i]) * scale - widened(s[i]) * pull;
    narrow_into(ds != nullptr ? widened(ds[i]) + d : d, dx[i]);
  }
}

/// The logits are read three times, which their row of some 100 KB allows: it stays in the cache.
template <class T, class Block>
ROCKET_ON_BOTH void nll_row(const GpuNll& a, std::int64_t row, const Block& block) {
  const float* logits = a.logits + row * a.width;
  float mine = -INFINITY;
  for (std::int64_t i = block.first; i < a.width; i += block.step) mine = fmaxf(mine, logits[i]);
  const float most = block.most(mine);
  float of_target = 0, others = 0;  // one thread sees the target
  for (std::int64_t i = block.first; i < a.width; i += block.step) {
    if (i == a.targets[row])
      of_target = logits[i];
    else
      others += expf(logits[i] - most);
  }
  // Apart from the others: a target of nearly all the probability keeps its digits.
  const float below = block.sum(of_target) - most, rest = block.sum(others), sum = expf(below) + rest;
  if (block.first == 0) a.nll[row] = log1pf(expm1f(below) + rest) - below;
  if (a.gradient == nullptr) return;
  T* gradient = static_cast<T*>(a.gradient) + row * a.width;
  for (std::int64_t i = block.first; i < a.width; i += block.step)
    narrow_into(i == a.targets[row] ? -rest / sum : expf(logits[i] - most) / sum, gradient[i]);
}

template <class T, class Block>
ROCKET_ON_BOTH void rotate_row(const GpuRotation& a, std::int64_t row, const Block& block) {
  const std::int64_t half = a.turned / 2, rest = a.width - a.turned;
  const T *cosines = static_cast<const T*>(a.cos) + row * half,
          *sines = static_cast<const T*>(a.sin) + row * half;
  const T* x = static_cast<const T*>(a.x) + row * a.heads * a.width;
  T* y = static_cast<T*>(a.y) + row * a.heads * a.width;
  for (std::int64_t pair = block.first; pair < a.heads * half; pair += block.step) {
    const std::int64_t i = pair % half, first = pair / half * a.width + i, second = first + half;
    const float f = widened(x[first]), s = widened(x[second]), c = widened(cosines[i]),
                n = a.back ? -widened(sines[i]) : widened(sines[i]);
    narrow_into(rounded<T>(f * c) - rounded<T>(s * n), y[first]);
    narrow_into(rounded<T>(s * c) + rounded<T>(f * n), y[second]);
  }
  for (std::int64_t i = block.first; i < a.heads * rest; i += block.step) {
    const std::int64_t place = i / rest * a.width + a.turned + i % rest;
    y[place] = x[place];
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
ROCKET_ON_BOTH void silu_times_backward_elements(const GpuSiluTimesBackward& a, const Block& block) {
  const T *dy = static_cast<const T*>(a.dy), *gate = static_cast<const T*>(a.gate),
          *up = static_cast<const T*>(a.up);
  T *dgate = static_cast<T*>(a.dgate), *dup = static_cast<T*>(a.dup);
  for (std::int64_t i = block.first; i < a.count; i += block.step) {
    const float d = widened(dy[i]), g = widened(gate[i]), u = widened(up[i]), share = 1 / (1 + expf(-g));
    narrow_into(d * u * share * (1 + g * (1 - share)), dgate[i]);
    narrow_into(d * rounded<T>(g * share), dup[i]);
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

/// Calls use(element, whether it is kept), four neighbouring features at a time: those of one Philox block.
template <class Block, class Use>
ROCKET_ON_BOTH void for_each_dropped(const GpuDropoutRows& a, const Block& block, const Use& use) {
  const std::int64_t each = (a.width + 3) / 4;
  for (std::int64_t i = block.first; i < a.rows * each; i += block.step) {
    const std::int64_t row = i / each, part = i % each;
    const auto words = philox(a.key, static_cast<std::uint64_t>(a.upper[row]) | a.input,
                              static_cast<std::uint64_t>(a.lower[row] + part));
    for (int j = 0; j < 4 && 4 * part + j < a.width; ++j)
      use(row * a.width + 4 * part + j, words[j] >= a.threshold);
  }
}

template <class Block>
ROCKET_ON_BOTH void dropout_elements(const GpuDropoutMask& a, const Block& block) {
  for_each_dropped(a.draw, block, [&](std::int64_t i, bool kept) { a.kept[i] = kept; });
}

template <class T, class Block>
ROCKET_ON_BOTH void drop_elements(const GpuDrop& a, const Block& block) {
  const T* x = static_cast<const T*>(a.x);
  T* y = static_cast<T*>(a.y);
  for_each_dropped(a.draw, block, [&](std::int64_t i, bool kept) {
    narrow_into(kept ? widened(x[i]) * a.scale : 0.0f, y[i]);
  });
}

// A mixture between its products.

template <class Block>
ROCKET_ON_BOTH void three_parts_elements(const GpuThreeParts& a, const Block& block) {
  auto* parts = static_cast<GpuBfloat16*>(a.parts);
  for (std::int64_t i = block.first; i < a.count; i += block.step) {
    float rest = a.values[i];
    for (int part = 0; part < 3; ++part) {
      GpuBfloat16& number = parts[part * a.count + i];
      narrow_into(rest, number);
      rest -= widened(number);
    }
  }
}

/// The experts of one module for one row.
ROCKET_ON_BOTH inline void route_module(const GpuRoute& a, std::int64_t row, int module) {
  const int all = a.experts.experts(), first = a.experts.module[module],
            count = a.experts.module[module + 1] - first;
  const float* logits = a.logits + row * a.parts * all + first;
  float *p = a.p + row * all + first, *gates = a.gates + row * all + first;
  float most = -INFINITY, total = 0, chosen = 0;
  for (int e = 0; e < count; ++e) {
    p[e] = 0;
    for (int part = 0; part < a.parts; ++part) p[e] += logits[part * all + e];
    most = fmaxf(most, p[e]);
    gates[e] = 0;
  }
  for (int e = 0; e < count; ++e) total += p[e] = expf(p[e] - most);
  for (int e = 0; e < count; ++e) p[e] /= total;
  a.log_sum[row * a.experts.modules + module] = most + logf(total);
  for (int k = 0; k < a.rule.top_k && k < count && (k == 0 || a.rule.top_p >= 1 || chosen < a.rule.top_p);
       ++k) {
    int best = -1;  // the lowest of equals
    for (int e = 0; e < count; ++e) {
      if (gates[e] == 0 && (best < 0 || p[e] > p[best])) best = e;
    }
    gates[best] = fmaxf(p[best], FLT_MIN);  // a gate that is not zero says that the expert was chosen
    chosen += p[best];
  }
  if (!a.rule.renormalised(count)) return;
  for (int e = 0; e < count; ++e) gates[e] /= chosen;
}

template <class Block>
ROCKET_ON_BOTH void route_elements(const GpuRoute& a, const Block& block) {
  const int modules = a.experts.modules;
  for (std::int64_t i = block.first; i < a.rows * modules; i += block.step)
    route_module(a, i / modules, static_cast<int>(i % modules));
}

template <class T, class Block>
ROCKET_ON_BOTH void gate_ranks_elements(const GpuGateRanks& a, const Block& block) {
  const int experts = a.experts.experts(), ranks = a.experts.ranks();
  for (std::int64_t i = block.first; i < a.rows * experts; i += block.step) {
    const std::int64_t row = i / experts;
    const int e = static_cast<int>(i % experts);
    const float factor = a.experts.scale[e] * (a.gates != nullptr ? a.gates[i] : 1);
    const T* hidden = static_cast<const T*>(a.hidden) + row * ranks;
    T* gated = static_cast<T*>(a.gated) + row * ranks;
    for (int r = a.experts.first[e]; r < a.experts.first[e + 1]; ++r)
      narrow_into(widened(hidden[r]) * factor, gated[r]);
  }
}

/// d objective / d gate of an expert for one row; leaves d objective / d hidden behind.
template <class T>
ROCKET_ON_BOTH float gate_gradient(const GpuGateBackward& a, std::int64_t row, int e) {
  const int experts = a.experts.experts(), ranks = a.experts.ranks();
  const T *hidden = static_cast<const T*>(a.hidden) + row * ranks,
          *dgated = static_cast<const T*>(a.dgated) + row * ranks;
  T* dhidden = static_cast<T*>(a.dhidden) + row * ranks;
  const float scale = a.experts.scale[e],
              factor = scale * (a.gates != nullptr ? a.gates[row * experts + e] : 1);
  float sum = 0;
  for (int r = a.experts.first[e]; r < a.experts.first[e + 1]; ++r) {
    const float d = widened(dgated[r]);  // before its place is written
    sum += d * widened(hidden[r]);
    narrow_into(d * factor, dhidden[r]);
  }
  return sum * scale;
}

/// sum of weights[j] * (values[i] - values[j]): a difference from the mean that loses no digits where one
/// weight is nearly 1.
ROCKET_ON_BOTH inline float above_mean(const float* weights, const float* values, int count, int i) {
  float total = 0;
  for (int j = 0; j < count; ++j) total += weights[j] * (values[i] - values[j]);
  return total;
}

/// The gradients of one module's logits for one row.
template <class T>
ROCKET_ON_BOTH void gate_backward_module(const GpuGateBackward& a, std::int64_t row, int module) {
  const int all = a.experts.experts(), first = a.experts.module[module],
            count = a.experts.module[module + 1] - first;
  float dgates[GpuExperts::kMostOfModule], dp[GpuExperts::kMostOfModule];
  for (int e = 0; e < count; ++e) dgates[e] = gate_gradient<T>(a, row, first + e);
  if (a.gates == nullptr) return;
  const float *p = a.p + row * all + first, *gates = a.gates + row * all + first;
  float choices = 0;
  for (int e = 0; e < count && a.choices != nullptr; ++e) choices += static_cast<float>(a.choices[first + e]);
  const float balance =
      a.balance * static_cast<float>(count) / static_cast<float>(a.rows) / fmaxf(choices, 1);
  for (int e = 0; e < count; ++e)
    dp[e] = a.choices != nullptr ? balance * static_cast<float>(a.choices[first + e]) : 0.0f;
  const float z = count > 1 ? a.z * a.log_sum[row * a.experts.modules + module] : 0;
  const bool renormalised = a.rule.renormalised(count);
  for (int e = 0; e < count; ++e) {
    float d = z * p[e] + p[e] * above_mean(p, dp, count, e);
    if (renormalised) {  // a softmax over those that are chosen
      d += gates[e] * above_mean(gates, dgates, count, e);
    } else {  // the gate is the p of the one that is chosen
      for (int j = 0; j < count; ++j)
        d += j == e ? 0 : p[j] * (gates[e] * dgates[e]) - p[e] * (gates[j] * dgates[j]);
    }
    a.dlogits[row * all + first + e] = d;
    if (a.dlogits_parts == nullptr) continue;
    GpuBfloat16* parts = static_cast<GpuBfloat16*>(a.dlogits_parts) + row * 2 * all + first;
    narrow_into(d, parts[e]);
    narrow_into(d - widened(parts[e]), parts[all + e]);
  }
}

template <class T, class Block>
ROCKET_ON_BOTH void gate_backward_elements(const GpuGateBackward& a, const Block& block) {
  const int modules = a.experts.modules;
  for (std::int64_t i = block.first; i < a.rows * modules; i += block.step)
    gate_backward_module<T>(a, i / modules, static_cast<int>(i % modules));
}

}  // namespace rocket
