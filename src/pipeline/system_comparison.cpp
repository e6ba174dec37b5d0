#include "pipeline/system_comparison.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace rocket {

namespace {

std::optional<std::size_t> place_of(const std::string& system, const StoredEvaluation& evaluation) {
  const auto place = std::ranges::find(evaluation.systems, system);
  if (place == evaluation.systems.end()) return std::nullopt;
  return static_cast<std::size_t>(place - evaluation.systems.begin());
}

void require_same_items(const EvaluatedRun& first, const EvaluatedRun& other) {
  if (first.evaluation.items != other.evaluation.items)
    fail_data(
        "{} was evaluated on {} items and {} on {}: only systems that answered the same items are compared",
        first.name, first.evaluation.items, other.name, other.evaluation.items);
  const auto &golds = first.evaluation.golds, &others = other.evaluation.golds;
  if (golds.empty() || others.empty()) return;  // files of earlier versions do not hold them
  if (const auto [gold, its] = std::ranges::mismatch(golds, others); gold != golds.end())
    fail_data(
        "item {} has the gold answer '{}' in {} and '{}' in {}: the evaluation file has changed between "
        "the runs. `rocket evaluate CONFIG --fresh` evaluates a run anew",
        gold - golds.begin(), *gold, first.name, *its, other.name);
}

/// The systems that all runs have, expert first.
std::vector<std::string> common_systems(const std::vector<EvaluatedRun>& runs) {
  std::vector<std::string> systems = runs.front().evaluation.systems;
  for (const EvaluatedRun& run : runs) {
    for (const std::string& system : run.evaluation.systems) {
      if (!place_of(system, runs.front().evaluation))
        log::info("{} is left out of the comparison: {} has no such system", system, runs.front().name);
    }
    std::erase_if(systems, [&](const std::string& system) {
      const bool absent = !place_of(system, run.evaluation);
      if (absent) log::info("{} is left out of the comparison: {} has no such system", system, run.name);
      return absent;
    });
  }
  std::ranges::stable_partition(systems, [](const std::string& system) { return system == "expert"; });
  return systems;
}

}  // namespace

PairedAnswers paired_answers(const std::vector<EvaluatedRun>& runs) {
  if (runs.empty()) fail_data("no run has been evaluated: there is nothing to compare");
  PairedAnswers answers{
      common_systems(runs), static_cast<std::int64_t>(runs.size()), runs.front().evaluation.items, {}};
  for (const EvaluatedRun& run : runs) {
    require_same_items(runs.front(), run);
    for (const std::string& system : answers.systems) {
      const auto row = static_cast<std::ptrdiff_t>(*place_of(system, run.evaluation)) * answers.items;
      const auto begin = run.evaluation.correct.begin() + row;
      answers.correct.insert(answers.correct.end(), begin, begin + answers.items);
    }
  }
  return answers;
}

Table comparison_table(const PairedAnswers& answers) {
  if (answers.systems.size() == 1)
    fail_data(
        "{} alone was evaluated: there is no pair to compare. Name others in evaluation.rivals, then "
        "`rocket evaluate CONFIG --fresh`",
        answers.systems.front());
  const Comparison comparison = compare_systems(answers);
  Table table{{"a", "b", "difference", "low", "high", "a_only", "b_only", "p", "p_holm", "beyond_chance",
               "a_best", "b_best"},
              {}};
  for (const SystemPair& pair : comparison.pairs)
    table.rows.push_back({answers.systems[pair.a], answers.systems[pair.b], pair.difference, pair.low,
                          pair.high, pair.only_a, pair.only_b, pair.p, pair.p_holm, pair.beyond_chance(),
                          comparison.best[pair.a], comparison.best[pair.b]});
  return table;
}

}  // namespace rocket
