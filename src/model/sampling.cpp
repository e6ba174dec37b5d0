#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/random.h"

namespace rocket {
namespace {

double sum_of(const std::vector<double>& weights) {
  return std::accumulate(weights.begin(), weights.end(), 0.0);
}

/// exp of the logits' distance to the greatest one: probabilities but for their sum.
std::vector<double> weights_of(std::span<const float> logits, double temperature) {
  const double greatest = *std::ranges::max_element(logits);
  std::vector<double> weights;
  weights.reserve(logits.size());
  for (const float logit : logits) weights.push_back(std::exp((logit - greatest) / temperature));
  return weights;
}

/// Sets the weight of every token outside the nucleus to 0.
void keep_nucleus(std::vector<double>& weights, double top_p) {
  const double enough = top_p * sum_of(weights);
  std::vector<std::int32_t> ids(weights.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto likelier = [&](std::int32_t a, std::int32_t b) {
    const double x = weights[static_cast<std::size_t>(a)], y = weights[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  // A nucleus is small as a rule: more of the order is made only where it is needed.
  double sum = 0;
  auto kept = ids.begin(), sorted = ids.begin();
  while (kept != ids.end() && sum < enough) {
    if (kept == sorted) {
      const auto until = std::min<std::ptrdiff_t>(ids.end() - ids.begin(), 4 * (sorted - ids.begin()) + 64);
      std::partial_sort(sorted, ids.begin() + until, ids.end(), likelier);
      sorted = ids.begin() + until;
    }
    sum += weights[static_cast<std::size_t>(*kept++)];
  }
  for (; kept != ids.end(); ++kept) weights[static_cast<std::size_t>(*kept)] = 0;
}

}  // namespace

std::int64_t draw_token(std::span<const float> logits, const Sampling& sampling, std::int64_t text,
                        std::int64_t position) {
  std::vector<double> weights = weights_of(logits, sampling.temperature);
  if (!std::isfinite(sum_of(weights)))
    fail_data("prompt {} (from 0): a logit is no number, so no token can be drawn: activations overflow",
              text);
  if (sampling.top_p < 1) keep_nucleus(weights, sampling.top_p);
  const std::uint64_t index = (static_cast<std::uint64_t>(text) << 24) | static_cast<std::uint64_t>(position);
  const double bar = uniform(sampling.seed, stream("generate"), index) * sum_of(weights);
  double sum = 0;
  std::int64_t last = 0;  // rounding may leave the bar at the very end
  for (std::size_t id = 0; id < weights.size(); ++id) {
    if (weights[id] == 0) continue;
    sum += weights[id];
    last = static_cast<std::int64_t>(id);
    if (sum > bar) break;
  }
  return last;
}

}  // namespace rocket
