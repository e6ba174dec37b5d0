// The binomial distribution.
#pragma once

#include <cstdint>

namespace rocket {

/// The natural logarithm of P(X = k) for X ~ Binomial(n, share), 0 <= k <= n, share in (0, 1).
double log_binomial(std::int64_t k, std::int64_t n, double share);

/// P(X <= k) for X ~ Binomial(n, share); 0 for k < 0. `share` in [0, 1].
double binomial_at_most(std::int64_t k, std::int64_t n, double share);

}  // namespace rocket
