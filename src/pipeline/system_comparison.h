// The systems of finished evaluations, compared with each other.
#pragma once

#include <string>
#include <vector>

#include "pipeline/results.h"
#include "pipeline/table.h"
#include "statistics/comparison.h"

namespace rocket {

/// A run that has been evaluated.
struct EvaluatedRun {
  std::string name;
  StoredEvaluation evaluation;
};

/// The answers of runs that differ in nothing but the seed. Systems: those that every run has; `expert`
/// first, so that its differences to the others come first and are positive where it is better; the others as
/// in the first run. The log says which systems are left out, because a run lacks them. Throws data (65) for
/// no run, and for runs whose items differ, in number or in gold answers where both runs hold them.
PairedAnswers paired_answers(const std::vector<EvaluatedRun>& runs);

/// One row a pair: a, b, difference (accuracy of a minus that of b), low, high, a_only, b_only, p, p_holm,
/// beyond_chance, a_best, b_best (the probability to be the best of all systems). Throws data (65) for one
/// system alone.
Table comparison_table(const PairedAnswers& answers);

}  // namespace rocket
