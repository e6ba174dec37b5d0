#include "statistics/binomial.h"

#include <algorithm>
#include <cmath>

namespace rocket {

double log_binomial(std::int64_t k, std::int64_t n, double share) {
  const auto m = static_cast<double>(n), x = static_cast<double>(k);
  return std::lgamma(m + 1) - std::lgamma(x + 1) - std::lgamma(m - x + 1) + x * std::log(share) +
         (m - x) * std::log1p(-share);
}

double binomial_at_most(std::int64_t k, std::int64_t n, double share) {
  if (k < 0) return 0;
  if (k >= n || share <= 0) return 1;
  if (share >= 1) return 0;
  // From k down, each term from the one before it, until the rest is below the last bit.
  const double odds = (1 - share) / share, mode = static_cast<double>(n) * share;
  double term = std::exp(log_binomial(k, n, share)), sum = 0;
  for (std::int64_t i = k; i >= 0; --i) {
    sum += term;
    if (static_cast<double>(i) < mode && term < sum * 1e-17) break;
    term *= odds * static_cast<double>(i) / static_cast<double>(n - i + 1);
  }
  return std::min(1.0, sum);
}

}  // namespace rocket
