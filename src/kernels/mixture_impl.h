// The rows of a mixture between its products: dropout, the router's choice, gates.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/encoder_impl.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

using Words __attribute__((vector_size(ROCKET_VECTOR_BYTES))) = std::uint32_t;
using WidePairs __attribute__((vector_size(ROCKET_VECTOR_BYTES))) = std::uint64_t;

/// Products of the even lanes of two vectors of words. A plain product of 64-bit lanes would cost three times
/// as much: the compiler does not see that their upper halves are zero.
inline WidePairs even_products(Words a, Words b) {
#if !defined(__x86_64__)
  return ((WidePairs)a & 0xffffffffu) * ((WidePairs)b & 0xffffffffu);
#elif ROCKET_VECTOR_BYTES == 64
  return (WidePairs)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif ROCKET_VECTOR_BYTES == 32
  return (WidePairs)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
  return (WidePairs)_mm_mul_epu32((__m128i)a, (__m128i)b);
#endif
}

/// Philox4x32-10 as base/random.h has it, for so many neighbouring counters at once that their steps overlap.
constexpr int kPhiloxVectors = 2;
constexpr std::int64_t kPhiloxBlocks = kPhiloxVectors * kLanes;

struct PhiloxBlocks {
  Words word[4][kPhiloxVectors];

  void count(const DropoutRow& row, std::uint64_t first) {
    Words place;
    for (std::int64_t i = 0; i < kLanes; ++i) place[i] = static_cast<std::uint32_t>(i);
    for (int v = 0; v < kPhiloxVectors; ++v) {
      const std::uint64_t start = row.counter_low + first + static_cast<std::uint64_t>(v * kLanes);
      word[0][v] = place + static_cast<std::uint32_t>(start);
      const Words carry = (Words)(word[0][v] < place) & 1u;
      word[1][v] = carry + static_cast<std::uint32_t>(start >> 32);
      word[2][v] = Words{} + static_cast<std::uint32_t>(row.counter_high);
      word[3][v] = Words{} + static_cast<std::uint32_t>(row.counter_high >> 32);
    }
  }

  void run(std::uint64_t key) {
    std::uint32_t key0 = static_cast<std::uint32_t>(key), key1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 2
      for (int v = 0; v < kPhiloxVectors; ++v) {
        const WidePairs even0 = even_products(word[0][v], Words{} + 0xD2511F53u);
        const WidePairs odd0 = even_products((Words)((WidePairs)word[0][v] >> 32), Words{} + 0xD2511F53u);
        const WidePairs even1 = even_products(word[2][v], Words{} + 0xCD9E8D57u);
        const WidePairs odd1 = even_products((Words)((WidePairs)word[2][v] >> 32), Words{} + 0xCD9E8D57u);
        word[0][v] = upper(even1, odd1) ^ word[1][v] ^ key0;
        word[2][v] = upper(even0, odd0) ^ word[3][v] ^ key1;
        word[1][v] = lower(even1, odd1);
        word[3][v] = lower(even0, odd0);
      }
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
  }

 private:
  static Words upper(WidePairs even, WidePairs odd) {
    return (Words)((even >> 32) | (odd & 0xffffffff00000000u));
  }
  static Words lower(WidePairs even, WidePairs odd) {
    return (Words)((even & 0xffffffffu) | (odd << 32));
  }
};

void dropout_mask(const DropoutRow& row, std::int64_t width, std::uint8_t* kept) {
  for (std::int64_t first = 0; first < width; first += 4 * kPhiloxBlocks) {
    PhiloxBlocks blocks;
    blocks.count(row, static_cast<std::uint64_t>(first / 4));
    blocks.run(row.key);
    std::uint8_t all[4 * kPhiloxBlocks];
    for (int v = 0; v < kPhiloxVectors; ++v) {  // byte j of a lane is feature j of its block
      Words bytes{};
#pragma GCC unroll 4
      for (unsigned j = 0; j < 4; ++j) bytes |= (Words)(blocks.word[j][v] >= row.threshold) & (1u << (8 * j));
      std::memcpy(all + 4 * kLanes * v, &bytes, sizeof bytes);
    }
    std::memcpy(kept + first, all, static_cast<std::size_t>(least(4 * kPhiloxBlocks, width - first)));
  }
}

void drop(const float* x, const std::uint8_t* kept, float scale, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = x[i] * (static_cast<float>(kept[i]) * scale);
}

/// The index of the largest p that is not chosen yet; the lowest on a tie.
std::int64_t next_choice(const float* p, const float* gates, std::int64_t experts) {
  std::int64_t best = -1;
  for (std::int64_t i = 0; i < experts; ++i) {
    if (gates[i] == 0.0f && (best < 0 || p[i] > p[best])) best = i;
  }
  return best;
}

/// softmax(logits) -> p; returns log of the sum of exponentials. Those below the normal range count: experts
/// are told apart by them.
float softmax_of_few(const float* logits, std::int64_t count, float* p) {
  float high = logits[0], total = 0;
  for (std::int64_t i = 1; i < count; ++i) high = logits[i] > high ? logits[i] : high;
  for (std::int64_t i = 0; i < count; ++i) total += p[i] = __builtin_expf(logits[i] - high);
  for (std::int64_t i = 0; i < count; ++i) p[i] /= total;
  return high + __builtin_logf(total);
}

float route(const float* logits, std::int64_t experts, const RoutingRule& rule, float* p, float* gates) {
  const float log_sum = softmax_of_few(logits, experts, p);
  const std::int64_t k = least(rule.top_k, experts);
  for (std::int64_t i = 0; i < experts; ++i) gates[i] = 0.0f;
  float total = 0;
  for (std::int64_t chosen = 0; chosen < k && (chosen == 0 || rule.top_p >= 1 || total < rule.top_p);
       ++chosen) {
    const std::int64_t best = next_choice(p, gates, experts);
    // A p that is zero in float32 is chosen all the same, and weighs nothing.
    gates[best] = p[best] > 0.0f ? p[best] : __FLT_DENORM_MIN__;
    total += p[best];
  }
  if (!rule.renormalised(experts)) return log_sum;
  for (std::int64_t i = 0; i < experts; ++i) gates[i] /= total;
  return log_sum;
}

/// sum of weights[j] * (values[i] - values[j]): a difference from the mean that loses no digits where one
/// weight is nearly 1.
float above_mean(const float* weights, const float* values, std::int64_t count, std::int64_t i) {
  float total = 0;
  for (std::int64_t j = 0; j < count; ++j) total += weights[j] * (values[i] - values[j]);
  return total;
}

void route_backward(const float* p, const float* gates, const float* dgates, std::int64_t experts,
                    const RoutingRule& rule, float* dlogits) {
  if (rule.renormalised(experts)) {  // a softmax over those that are chosen
    for (std::int64_t i = 0; i < experts; ++i)
      dlogits[i] = gates[i] == 0.0f ? 0.0f : gates[i] * above_mean(gates, dgates, experts, i);
    return;
  }
  // The gate is the p of the one that is chosen.
  for (std::int64_t i = 0; i < experts; ++i) {
    float total = 0;
    for (std::int64_t j = 0; j < experts; ++j)
      total += j == i ? 0.0f : p[j] * (gates[i] * dgates[i] - p[i] * (gates[j] != 0.0f ? dgates[j] : 0.0f));
    dlogits[i] = total;
  }
}

void gate(const GatedRow& row, float* out) {
  for (std::int64_t e = 0; e < row.experts; ++e) {
    const Vector factor = same(row.factors[e]);
    const std::int64_t width = row.first[e + 1] - row.first[e];
    const float* x = row.hidden + row.first[e];
    for (std::int64_t i = 0; i < width; i += kLanes)
      store_at(out + row.first[e], i, width, load_at(x, i, width) * factor);
  }
}

void gate_backward(const GatedRow& row, const float* dout, float* dhidden, float* dfactors) {
  for (std::int64_t e = 0; e < row.experts; ++e) {
    const std::int64_t first = row.first[e], width = row.first[e + 1] - first;
    const Vector factor = same(row.factors[e]);
    Vector total{};
    for (std::int64_t i = 0; i < width; i += kLanes) {
      const Vector d = load_at(dout + first, i, width);
      total += d * load_at(row.hidden + first, i, width);
      store_at(dhidden + first, i, width, d * factor);
    }
    dfactors[e] = sum(total);
  }
}

}  // namespace
}  // namespace rocket
