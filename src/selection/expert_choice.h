// Algorithm 1: experts that are good and different. Pure: no communicator, no device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rocket {

/// Scores of a bank on the shots. Row 0 of nll and correct is the base alone; similarity is of the bank only.
struct BankScores {
  std::vector<std::string> adapters;          // [A + 1], adapters[0] = "(base)"
  std::int64_t shots = 0;                     // K
  std::vector<double> nll;                    // [A + 1, K]
  std::vector<std::uint8_t> correct;          // [A + 1, K]
  std::vector<double> similarity;             // [A, A]
};

struct Signals {
  bool perplexity = true, accuracy = true, diversity = true;
};

struct ExpertOptions {
  std::int64_t candidates = 8;  // M
  std::int64_t count = 4;       // N
  Signals signals;
  std::vector<std::string> names;  // an explicit list wins
  std::uint64_t seed = 0;
};

/// One row of the table `scores`; places are null for the base.
struct AdapterStanding {
  std::string adapter;
  double perplexity = 0, accuracy = 0;
  std::optional<double> perplexity_se;  // null for K = 1
  double accuracy_se = 0;
  std::optional<double> place_perplexity, place_accuracy, place;
  bool candidate = false, expert = false;
};

struct ExpertChoice {
  std::vector<std::string> experts;     // in the order of the places
  std::vector<std::string> candidates;  // in the order of the places
  std::int64_t tuples = 0;              // how many were ranked
  std::optional<double> mean_similarity;  // of the chosen tuple; null for one expert
  std::optional<double> objective;        // the minimised sum; null where no tuples were ranked
  std::vector<AdapterStanding> standings;  // (base) first, then the bank in name order
};

/// Throws config (78) for N > M or N < 1, data (65) for N larger than the bank or an unknown name.
ExpertChoice choose_experts(const BankScores& scores, const ExpertOptions& options);

/// The best single adapter by the shots: highest accuracy, then lower perplexity, then name.
std::string best_single(const BankScores& scores);

/// Average ranks from 1 of values ascending.
std::vector<double> average_ranks(const std::vector<double>& values);

}  // namespace rocket
