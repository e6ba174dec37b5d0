// How many items a difference needs.
#pragma once

#include <cstdint>
#include <string>

namespace rocket {

/// What is assumed of two systems, and how sure their comparison is to be.
struct PowerPlan {
  /// The share of the items that exactly one of the two answers right. It is known only afterwards; the items
  /// that are needed grow about in proportion to it.
  double discordance = 0.25;
  double level = 0.05;  // of the two-sided test
  double power = 0.8;   // how often a difference that is there is found
};

/// How often the exact McNemar test at plan.level finds a difference in accuracy (share, above 0): exact,
/// over all numbers of discordant items that are likelier than one in a million. A plan whose discordance is
/// below the difference is taken to have a discordance equal to it.
double mcnemar_power(std::int64_t items, double difference, const PowerPlan& plan);

/// The items at which that reaches plan.power. (The normal approximation of Connor 1987 gives 2 to 7 % less
/// for 2 to 10 points, because the exact test is more careful than its level.)
std::int64_t items_needed(double difference, const PowerPlan& plan);

/// The smallest difference that so many items show with plan.power, to 0.0001; at most plan.discordance; 0:
/// none.
double detectable_difference(std::int64_t items, const PowerPlan& plan);

/// In words: the difference that so many items show between two of the systems, the items that 10, 5, 2 and 1
/// points need, and what both assume: the defaults of PowerPlan, its level shared by all pairs of systems, as
/// Holm's correction shares it at worst. Empty for less than two systems.
std::string note_on_power(std::int64_t items, std::int64_t systems);

}  // namespace rocket
