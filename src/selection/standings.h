// What the shots say about each adapter: figures, standard errors and places, before anything is chosen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "selection/expert_choice.h"

namespace rocket {

/// Of the bank's adapters, index 0 = the first after the base.
struct Standings {
  std::vector<AdapterStanding> rows;  // [A + 1], (base) first; candidate and expert not yet set
  std::vector<double> perplexity;     // [A], to 12 significant digits: what places and ties are decided by
  std::vector<double> place;          // [A], R_P + R_A
  std::vector<std::int64_t> order;    // [A], adapters by place, perplexity, name
};

/// Throws data (65) naming the adapter and the shot of an nll that is not a number, internal (70) for wrong
/// shapes.
Standings stand(const BankScores& scores, const Signals& signals);

}  // namespace rocket
