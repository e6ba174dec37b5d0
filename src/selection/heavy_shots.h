// What one shot does to a mean of perplexities, which has no upper bound as an accuracy has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "selection/expert_choice.h"

namespace rocket {

/// exp of the mean nll over the shots of a row of the scores (0: the base): the geometric mean of their
/// perplexities, on which one shot has less influence.
double exp_mean_nll(const BankScores& scores, std::size_t row);

/// A shot whose perplexity is larger than the sum of all the others, for one row of the scores or more.
struct HeavyShot {
  std::int64_t shot = 0;          // from 0
  std::vector<std::size_t> rows;  // of the scores, ascending
};

/// In order of the shots. None for fewer than three shots: one of two is nearly always the larger half.
std::vector<HeavyShot> heavy_shots(const BankScores& scores);

/// One sentence: `place` names the shot ("shot 3 of 50"), the row with the largest share gives the figures.
std::string describe(const HeavyShot& heavy, const BankScores& scores, const std::string& place);

}  // namespace rocket
