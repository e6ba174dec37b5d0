// Several adapters as one, without training. A merge is an adapter again: what serves adapters serves it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "adapters/lora.h"

namespace rocket {

/// (1/n) sum of the adapters' delta W, exact, by concatenation of ranks.
LoraAdapter uniform_merge(std::span<const LoraAdapter> adapters, const std::string& name);

/// TIES-Merging (Yadav et al. 2023, arXiv 2306.01708, algorithm 1) of the delta W, module by module. Of each
/// adapter's delta W the `density` share of entries of largest magnitude is kept (at least one; of equal ones
/// the first, by rows). The sign of an entry is that of the sum of what is kept there, + where the sum is
/// zero. The merge has the mean of the kept entries of that sign. A module that some adapters lack is merged
/// from those that have it.
LoraAdapter ties_merge(std::span<const LoraAdapter> adapters, double density, const std::string& name);

/// DARE (Yu et al. 2024, arXiv 2311.03099, section 3) of the delta W, then their mean: an entry is dropped
/// with probability `drop`, the others are divided by 1 - drop. A draw is a function of (seed, adapter's
/// name, module's name, row, column).
LoraAdapter dare_merge(std::span<const LoraAdapter> adapters, std::span<const Module> modules, double drop,
                       std::uint64_t seed, const std::string& name);

/// LoraHub's merge (Huang et al. 2023, arXiv 2307.13269, equation 1): A = sum of w_i A_i and B = sum of w_i
/// B_i over the adapters of a module, each scale in its B. Adapters of lower rank count as padded with zeros.
/// `weights` has one entry for each adapter.
LoraAdapter weighted_merge(std::span<const LoraAdapter> adapters, std::span<const double> weights,
                           const std::string& name);

/// An adapter of the same shape that has learned nothing: A and B uniform, each with the Frobenius norm of
/// the one that it replaces. A draw is a function of (seed, adapter's name, module's name, row, column).
LoraAdapter random_weights(const LoraAdapter& adapter, std::span<const Module> modules, std::uint64_t seed);

}  // namespace rocket
