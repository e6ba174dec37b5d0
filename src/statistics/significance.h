// Whether a difference is beyond chance.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rocket {

/// The two-sided p of McNemar's test (McNemar 1947) in its exact form: of the items that only one of two
/// systems answers right, `only_a` are a's and `only_b` are b's; where the systems are equally good, each
/// falls to either with probability 1/2. p = min(1, 2 P(X <= min(only_a, only_b))), X ~ Binomial(only_a +
/// only_b, 1/2). 1 where there is no such item. The items must be independent.
double mcnemar_exact(std::int64_t only_a, std::int64_t only_b);

/// Holm's step-down correction (Holm 1979) of a family of p: the i-th smallest of m becomes the largest of
/// (m - j + 1) p_j over j <= i, at most 1. To call those below a level "beyond chance" is wrong for any of
/// the family with at most that probability, however the tests depend on each other. In the order of `p`.
std::vector<double> holm(std::span<const double> p);

}  // namespace rocket
