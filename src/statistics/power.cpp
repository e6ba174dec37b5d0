#include "statistics/power.h"

#include <fmt/format.h>

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

std::string note_on_power(std::int64_t items, std::int64_t systems) {
  if (systems < 2) return "";
  const std::int64_t pairs = systems * (systems - 1) / 2;
  PowerPlan plan;
  const double level = plan.level;
  plan.level /= static_cast<double>(pairs);
  const double seen = detectable_difference(items, plan);
  std::string needed;
  for (const int points : {10, 5, 2, 1})
    needed += fmt::format("{}{} {} {}{}", needed.empty() ? "" : ", ", points,
                          needed.empty() ? "points need"
                          : points > 1   ? "need"
                                         : "needs",
                          items_needed(points / 100.0, plan), needed.empty() ? " items" : "");
  return fmt::format(
      "{} items show {} between two of {} systems; {} (found with probability {:g} by McNemar's test at "
      "level "
      "{:g}{}, if exactly one of the two systems is right on {:g} % of the items; the numbers grow with that "
      "share)",
      items,
      seen > 0 ? fmt::format("a difference of {:.1f} points", 100 * seen) : std::string("no difference"),
      systems, needed, plan.power, level,
      pairs > 1 ? fmt::format(" over all {} pairs", pairs) : std::string(), 100 * plan.discordance);
}

}  // namespace rocket
