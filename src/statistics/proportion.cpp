#include "statistics/proportion.h"

#include <algorithm>
#include <cmath>

namespace rocket {

std::pair<double, double> wilson_interval(std::int64_t correct, std::int64_t items) {
  if (items < 1) return {0, 1};
  const double z = 1.959963984540054, n = static_cast<double>(items), p = static_cast<double>(correct) / n;
  const double centre = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

}  // namespace rocket
