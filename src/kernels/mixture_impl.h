// The rows of a mixture between its products: dropout, the router's choice, gates.
#pragma once

#include "kernels/encoder_impl.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

constexpr std::int64_t kPhiloxBlocks = 16;

/// Philox4x32-10 as base/random.h has it, many blocks with neighbouring counters at once.
struct PhiloxBlocks {
  std::uint32_t word[4][kPhiloxBlocks];

  void run(std::uint64_t key) {
    std::uint32_t key0 = static_cast<std::uint32_t>(key), key1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      for (std::int64_t i = 0; i < kPhiloxBlocks; ++i) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * word[0][i];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * word[2][i];
        const std::uint32_t high0 = static_cast<std::uint32_t>(product0 >> 32),
                            high1 = static_cast<std::uint32_t>(product1 >> 32);
        word[0][i] = high1 ^ word[1][i] ^ key0;
        word[2][i] = high0 ^ word[3][i] ^ key1;
        word[1][i] = static_cast<std::uint32_t>(product1);
        word[3][i] = static_cast<std::uint32_t>(product0);
      }
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
  }
};

void dropout_mask(const DropoutRow& row, std::int64_t width, std::uint8_t* kept) {
  for (std::int64_t first = 0; first < width; first += 4 * kPhiloxBlocks) {
    PhiloxBlocks blocks;
    for (std::int64_t i = 0; i < kPhiloxBlocks; ++i) {
      const std::uint64_t low = row.counter_low + static_cast<std::uint64_t>(first / 4 + i);
      blocks.word[0][i] = static_cast<std::uint32_t>(low);
      blocks.word[1][i] = static_cast<std::uint32_t>(low >> 32);
      blocks.word[2][i] = static_cast<std::uint32_t>(row.counter_high);
      blocks.word[3][i] = static_cast<std::uint32_t>(row.counter_high >> 32);
    }
    blocks.run(row.key);
    std::uint8_t all[4 * kPhiloxBlocks];
    for (std::int64_t i = 0; i < kPhiloxBlocks; ++i) {
      for (std::int64_t j = 0; j < 4; ++j) all[4 * i + j] = blocks.word[j][i] >= row.threshold;
    }
    const std::int64_t count = least(4 * kPhiloxBlocks, width - first);
    std::memcpy(kept + first, all, static_cast<std::size_t>(count));
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
