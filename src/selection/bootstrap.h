// How sure the places are: few shots make small differences meaningless.
#pragma once

#include <cstdint>
#include <vector>

#include "selection/expert_choice.h"

namespace rocket {

/// Shares of resampled sets of shots (the same sets for all adapters) in which an adapter does at least as
/// well as the best of the bank by that figure. Below 0.05 the difference to the best is hardly noise; the
/// best itself has 1.
struct BootstrapShare {
  double perplexity = 1, accuracy = 1;
};

/// [A], in bank order. Throws as choose_experts does for scores that cannot be used.
std::vector<BootstrapShare> compare_with_best(const BankScores& scores, std::uint64_t seed,
                                              std::int64_t resamples = 2000);

}  // namespace rocket
