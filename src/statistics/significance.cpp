#include "statistics/significance.h"

#include <algorithm>
#include <numeric>

#include "statistics/binomial.h"

namespace rocket {

double mcnemar_exact(std::int64_t only_a, std::int64_t only_b) {
  return std::min(1.0, 2 * binomial_at_most(std::min(only_a, only_b), only_a + only_b, 0.5));
}

std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return p[i]; });
  std::vector<double> corrected(p.size());
  double largest = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    largest = std::max(largest, static_cast<double>(p.size() - i) * p[order[i]]);
    corrected[order[i]] = std::min(1.0, largest);
  }
  return corrected;
}

}  // namespace rocket
