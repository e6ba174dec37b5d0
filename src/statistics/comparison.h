// Systems that answered the same items, compared in pairs and all together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rocket {

/// What is right of R runs (of one configuration with different seeds), S systems and I items. Every system
/// answered every item in every run.
struct PairedAnswers {
  std::vector<std::string> systems;   // [S]
  std::int64_t runs = 1;              // R
  std::int64_t items = 0;             // I
  std::vector<std::uint8_t> correct;  // [R, S, I], 0 or 1

  /// Throws internal for a name that is none of `systems`.
  std::size_t place_of(const std::string& system) const;
};

/// Two systems, by their places among the systems: a < b.
struct SystemPair {
  std::size_t a = 0, b = 0;
  double difference = 0;                // accuracy of a minus that of b
  double low = 0, high = 0;             // its 95 % interval, within [-1, 1]
  std::int64_t only_a = 0, only_b = 0;  // answers, over all runs, that are right of one alone
  double p = 1;                         // two-sided, of no difference
  double p_holm = 1;                    // after Holm's correction over all pairs

  /// Below 0.05 in p_holm: at most 5 % of families of pairs without any difference have one such pair.
  bool beyond_chance() const { return p_holm < 0.05; }
};

struct Comparison {
  std::vector<SystemPair> pairs;  // [S (S - 1) / 2]: (0, 1), (0, 2), ... (1, 2), ...
  std::vector<double> best;       // [S] probability to be the best; sum 1

  /// The systems that are worse than this one beyond chance, in their order.
  std::vector<std::size_t> worse_than(std::size_t system) const;
};

/// Compares all systems on `resamples` resampled sets of items, the same for all of them (paired bootstrap:
/// Efron 1979, Koehn 2004); the draws are a function of `seed`.
///
/// Interval of a difference: percentiles 2.5 and 97.5 (linear between order statistics) over sets drawn from
/// the items and two more: one that only a answers right, and one that only b does. These two are the
/// pseudo-items of Bonett & Price 2012 in resampled form. Without them the interval is [0, 0] wherever two
/// systems agree everywhere. By simulation (tests/bench/statistics) it covers at least 95 % for 30, 100 and
/// 500 items. With accuracies near 0.95, percentiles of the items alone cover 69 % for 30 items and 95 % for
/// 100, BCa 64 and 92 %, studentised intervals 69 and 89 %.
///
/// One run: p is McNemar's exact test (statistics/significance.h).
///
/// Several runs: each resampled set draws the runs, then the items. All drawn runs share the drawn items,
/// since they answered the same ones: answers to one item are not independent (the clustering of Miller
/// 2024). Where items are drawn anew for each run, the interval covers as little as 62 %. The mean of few
/// runs has the tails of Student's t: what the drawn runs deviate from the mean of all is stretched by sqrt(R
/// / x), x drawn from chi squared with R - 1 degrees of freedom. p is twice the smaller share of sets on
/// either side of zero, one set counted more (Davison & Hinkley 1997, 4.11). It is at least 2 / (resamples +
/// 1). By simulation the interval covers 94.5 % or more for 2, 3 and 5 runs; where runs do not differ it
/// covers nearly all.
///
/// best: the share of resampled sets of the items alone in which a system is the best; equals share a set.
///
/// Throws data (65) for no systems, no items, and answers that are not [R, S, I] of 0 and 1. One system alone
/// has no pairs and is the best.
Comparison compare_systems(const PairedAnswers& answers, std::uint64_t seed = 0,
                           std::int64_t resamples = 10'000);

}  // namespace rocket
