#include "statistics/power.h"

#include <algorithm>
#include <cmath>

#include "statistics/binomial.h"

namespace rocket {

double mcnemar_power(std::int64_t items, double difference, const PowerPlan& plan) {
  const double discordance = std::max(plan.discordance, difference);
  const double share =
      (discordance + difference) / (2 * discordance);  // of the discordant items: the better's
  const double mean = static_cast<double>(items) * discordance, spread = std::sqrt(mean * (1 - discordance));
  const auto lowest = static_cast<std::int64_t>(std::max(0.0, std::floor(mean - 5 * spread)));
  const auto highest = std::min(items, static_cast<std::int64_t>(std::ceil(mean + 5 * spread)));
  double power = 0;
  std::int64_t critical = -1;  // the test rejects where the smaller side has at most so many; grows with m
  for (std::int64_t m = lowest; m <= highest; ++m) {
    while (2 * binomial_at_most(critical + 1, m, 0.5) <= plan.level) ++critical;
    const double rejects = binomial_at_most(critical, m, share) + binomial_at_most(critical, m, 1 - share);
    power += (discordance < 1 ? std::exp(log_binomial(m, items, discordance)) : 1) * rejects;
  }
  return power;
}

std::int64_t items_needed(double difference, const PowerPlan& plan) {
  std::int64_t high = 1;
  while (mcnemar_power(high, difference, plan) < plan.power) high *= 2;
  std::int64_t low = high / 2;
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (mcnemar_power(middle, difference, plan) < plan.power ? low : high) = middle;
  }
  return high;
}

double detectable_difference(std::int64_t items, const PowerPlan& plan) {
  double low = 0, high = plan.discordance;
  if (mcnemar_power(items, high, plan) < plan.power) return 0;
  while (high - low > 1e-4) {
    const double middle = (low + high) / 2;
    (mcnemar_power(items, middle, plan) < plan.power ? low : high) = middle;
  }
  return high;
}

}  // namespace rocket
