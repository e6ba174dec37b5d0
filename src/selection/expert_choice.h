// Algorithm 1: experts that are good and different. Pure: no communicator, no device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rocket {

/// Scores of a bank on the shots. Row 0 of nll and correct is the base alone; similarity is of the bank only.
struct BankScores {
  std::vector<std::string> adapters;  // [A + 1], adapters[0] = "(base)"
  std::int64_t shots = 0;             // K
  std::vector<double> nll;            // [A + 1, K]
  std::vector<std::uint8_t> correct;  // [A + 1, K]
  std::vector<double> similarity;     // [A, A]
  std::vector<std::uint8_t> effect;   // [A], 0: the adapter leaves the base as it is; empty: all have one
  std::vector<std::int64_t> copy_of;  // [A], place of the first adapter with the same weights, -1: none

  /// Whether adapter i of the bank changes the base.
  bool has_effect(std::int64_t i) const { return effect.empty() || effect[static_cast<std::size_t>(i)] != 0; }
};

/// One line for each adapter without effect and for each copy, for the user.
std::vector<std::string> notes_on_bank(const BankScores& scores);

struct Signals {
  bool perplexity = true, accuracy = true, diversity = true;
};

struct ExpertOptions {
  std::int64_t candidates = 8;  // M
  std::int64_t count = 4;       // N; ignored where names are given
  Signals signals;
  std::vector<std::string> names;  // an explicit list wins
  std::uint64_t seed = 0;
};

/// One row of the table `scores`; places are null for the base. A perplexity may be infinite (exp overflows
/// for an adapter that is far off); it takes the last place, and its standard error is null.
struct AdapterStanding {
  std::string adapter;
  double perplexity = 0, accuracy = 0;
  std::optional<double> perplexity_se;  // null for K = 1
  double accuracy_se = 0;
  std::optional<double> place_perplexity, place_accuracy, place;  // 0 for a signal that is off
  bool candidate = false, expert = false;
};

/// "Order" below: by lower R_P + R_A (the sum of the places), lower perplexity, name.
struct ExpertChoice {
  std::vector<std::string> experts;  // in that order, also where they were named or drawn
  /// In that order: the M of the cut. Where experts are named or drawn there is no cut: the experts
  /// themselves.
  std::vector<std::string> candidates;
  std::int64_t tuples = 0;                 // how many were ranked: 0 without diversity, or named, or drawn
  std::optional<double> mean_similarity;   // over the pairs of the chosen experts; null for one expert
  std::optional<double> objective;         // the minimised sum; null where no tuples were ranked
  std::vector<AdapterStanding> standings;  // (base) first, then the bank in name order
  std::vector<std::string> notes;          // for the user: what was asked for and could not be had
};

/// For count = 1 the mean similarity of a tuple is undefined and its rank counts 0. An adapter without effect
/// is similar to no other, so diversity would favour it: it becomes a candidate only where experts.names
/// names it. Throws config (78) for N > M, N < 1, a name given twice, or more than 10^8 tuples; data (65) for
/// N larger than the number of adapters with an effect, an unknown name, or a score that is not a number.
ExpertChoice choose_experts(const BankScores& scores, const ExpertOptions& options);

/// The best single adapter by the shots: highest accuracy, then lower perplexity, then name; one with an
/// effect where there is one.
std::string best_single(const BankScores& scores);

/// Average ranks from 1 of values ascending.
std::vector<double> average_ranks(const std::vector<double>& values);

}  // namespace rocket
