#include "selection/expert_choice.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "selection/heavy_shots.h"
#include "selection/standings.h"

namespace rocket {
namespace {

constexpr std::int64_t kMostTuples = 100'000'000;
constexpr double kSimilarityGrid = 1e9;

using Tuple = std::vector<std::int64_t>;

/// C(m, n), or kMostTuples + 1 where it is more than kMostTuples.
std::int64_t count_tuples(std::int64_t m, std::int64_t n) {
  std::int64_t count = 1;
  for (std::int64_t i = 1; i <= std::min(n, m - n); ++i) {
    if (count > std::numeric_limits<std::int64_t>::max() / m) {
      return kMostTuples + 1;
    }
    count = count * (m - i + 1) / i;
    if (count > kMostTuples) {
      return kMostTuples + 1;
    }
  }
  return count;
}

/// The next n-subset of 0..m-1 in lexicographic order; false after the last.
bool next_tuple(Tuple& tuple, std::int64_t m) {
  const auto n = static_cast<std::int64_t>(tuple.size());
  for (std::int64_t i = n - 1; i >= 0; --i) {
    auto& member = tuple[static_cast<std::size_t>(i)];
    if (member < m - n + i) {
      ++member;
      for (std::int64_t j = i + 1; j < n; ++j) {
        tuple[static_cast<std::size_t>(j)] = member + j - i;
      }
      return true;
    }
  }
  return false;
}

Tuple first_tuple(std::int64_t n) {
  Tuple tuple(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    tuple[static_cast<std::size_t>(i)] = i;
  }
  return tuple;
}

/// The tuples of some candidates (adapter indices in order), and what is asked of each.
class TupleTable {
 public:
  TupleTable(const BankScores& scores, const Standings& standings,
             const std::vector<std::int64_t>& candidates)
      : scores_(scores), standings_(standings), candidates_(candidates) {}

  /// Mean over pairs, on the grid of nine decimals.
  double mean_similarity(const Tuple& tuple) const {
    const std::size_t adapters = scores_.adapters.size() - 1;
    double sum = 0;
    for (std::size_t i = 0; i < tuple.size(); ++i) {
      const std::size_t row = index(tuple[i]) * adapters;
      for (std::size_t j = i + 1; j < tuple.size(); ++j) {
        sum += scores_.similarity[row + index(tuple[j])];
      }
    }
    const auto n = static_cast<double>(tuple.size());
    return std::nearbyint(sum / (n * (n - 1) / 2) * kSimilarityGrid) / kSimilarityGrid;
  }

  double places(const Tuple& tuple) const {
    double sum = 0;
    for (std::int64_t member : tuple) {
      sum += standings_.place[index(member)];
    }
    return sum;
  }

  /// Tuples of equal objective: the lower sum of perplexities, then the smaller sorted list of names.
  bool wins_tie(const Tuple& a, const Tuple& b) const {
    const double sum_a = perplexities(a), sum_b = perplexities(b);
    return sum_a != sum_b ? sum_a < sum_b : names(a) < names(b);
  }

  /// The tuple of the least objective and that objective.
  std::pair<Tuple, double> best(std::int64_t count) const {
    const std::vector<double> sorted = sorted_similarities(count);
    Tuple tuple = first_tuple(count), best;
    double least = 0;
    do {
      const double objective = places(tuple) + (count > 1 ? rank(sorted, mean_similarity(tuple)) : 0);
      if (best.empty() || objective < least || (objective == least && wins_tie(tuple, best))) {
        best = tuple;
        least = objective;
      }
    } while (next_tuple(tuple, size()));
    return {best, least};
  }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(candidates_.size()); }
  std::size_t index(std::int64_t member) const {
    return static_cast<std::size_t>(candidates_[static_cast<std::size_t>(member)]);
  }

  std::vector<double> sorted_similarities(std::int64_t count) const {
    std::vector<double> values;
    if (count < 2) {
      return values;
    }
    values.reserve(static_cast<std::size_t>(count_tuples(size(), count)));
    Tuple tuple = first_tuple(count);
    do {
      values.push_back(mean_similarity(tuple));
    } while (next_tuple(tuple, size()));
    std::sort(values.begin(), values.end());
    return values;
  }

  static double rank(const std::vector<double>& sorted, double value) {
    const auto [first, end] = std::equal_range(sorted.begin(), sorted.end(), value);
    return static_cast<double>((first - sorted.begin()) + 1 + (end - sorted.begin())) / 2;
  }

  /// Added up by size, so that tuples of equal perplexities are equal whatever the order of the members.
  double perplexities(const Tuple& tuple) const {
    std::vector<double> values;
    for (std::int64_t member : tuple) {
      values.push_back(standings_.perplexity[index(member)]);
    }
    std::sort(values.begin(), values.end());
    double sum = 0;
    for (double value : values) {
      sum += value;
    }
    return sum;
  }

  std::vector<std::string> names(const Tuple& tuple) const {
    std::vector<std::string> result;
    for (std::int64_t member : tuple) {
      result.push_back(scores_.adapters[index(member) + 1]);
    }
    std::sort(result.begin(), result.end());
    return result;
  }

  const BankScores& scores_;
  const Standings& standings_;
  const std::vector<std::int64_t>& candidates_;
};

void check_similarities(const BankScores& scores) {
  const std::size_t adapters = scores.adapters.size() - 1;
  for (std::size_t i = 0; i < scores.similarity.size(); ++i) {
    if (!std::isfinite(scores.similarity[i])) {
      fail_data("the similarity of adapters '{}' and '{}' is {}: run `rocket score CONFIG --fresh`",
                scores.adapters[i / adapters + 1], scores.adapters[i % adapters + 1], scores.similarity[i]);
    }
  }
}

/// Adapters with an effect, in order.
std::vector<std::int64_t> usable(const std::vector<std::int64_t>& order, const BankScores& scores) {
  std::vector<std::int64_t> result;
  std::copy_if(order.begin(), order.end(), std::back_inserter(result),
               [&](std::int64_t adapter) { return scores.has_effect(adapter); });
  return result;
}

void check_counts(const ExpertOptions& options, std::int64_t bank, std::int64_t usable) {
  if (options.count < 1) {
    fail_config("experts.count: expected at least 1, found {}", options.count);
  }
  if (options.count > options.candidates) {
    fail_config("experts.count: {} experts cannot be chosen from {} candidates: raise experts.candidates",
                options.count, options.candidates);
  }
  if (options.count > usable) {
    fail_data("experts.count: {} experts were asked for, the bank holds {} adapters{}", options.count, bank,
              usable < bank ? fmt::format(", {} of them without effect", bank - usable) : "");
  }
}

std::vector<std::int64_t> indices_of(const std::vector<std::string>& names, const BankScores& scores) {
  std::vector<std::int64_t> result;
  std::set<std::string> seen;
  for (const std::string& name : names) {
    const auto found = std::find(scores.adapters.begin() + 1, scores.adapters.end(), name);
    if (found == scores.adapters.end()) {
      fail_data("experts.names: the scored bank holds no adapter '{}'", name);
    }
    if (!seen.insert(name).second) {
      fail_config("experts.names: '{}' is named twice", name);
    }
    result.push_back(found - scores.adapters.begin() - 1);
  }
  return result;
}

/// One number per adapter of the bank; the adapters with the `count` smallest.
std::vector<std::int64_t> drawn(const BankScores& scores, const ExpertOptions& options) {
  const auto bank = static_cast<std::int64_t>(scores.adapters.size()) - 1;
  std::vector<std::int64_t> order = usable(permutation(bank, options.seed, stream("experts")), scores);
  order.resize(static_cast<std::size_t>(options.count));
  return order;
}

std::vector<std::int64_t> in_order(const std::vector<std::int64_t>& chosen, const Standings& standings) {
  std::vector<std::int64_t> result;
  for (std::int64_t adapter : standings.order) {
    if (std::find(chosen.begin(), chosen.end(), adapter) != chosen.end()) {
      result.push_back(adapter);
    }
  }
  return result;
}

std::vector<std::int64_t> cut(const BankScores& scores, const Standings& standings,
                              const ExpertOptions& options, ExpertChoice& choice) {
  const std::vector<std::int64_t> order = usable(standings.order, scores);
  const auto most = static_cast<std::int64_t>(order.size());
  if (options.candidates > most) {
    choice.notes.push_back(fmt::format(
        "experts.candidates is {}, the bank holds {} adapters{}: all are candidates", options.candidates,
        most, order.size() < standings.order.size() ? " with an effect" : ""));
  }
  return {order.begin(), order.begin() + std::min(options.candidates, most)};
}

std::vector<std::int64_t> best_tuple(const BankScores& scores, const Standings& standings,
                                     const std::vector<std::int64_t>& candidates, std::int64_t count,
                                     ExpertChoice& choice) {
  choice.tuples = count_tuples(static_cast<std::int64_t>(candidates.size()), count);
  if (choice.tuples > kMostTuples) {
    fail_config(
        "experts.candidates: {} experts out of {} candidates make more than {} tuples: lower one of them",
        count, candidates.size(), kMostTuples);
  }
  const auto [tuple, objective] = TupleTable(scores, standings, candidates).best(count);
  choice.objective = objective;
  std::vector<std::int64_t> experts;
  for (std::int64_t member : tuple) {
    experts.push_back(candidates[static_cast<std::size_t>(member)]);
  }
  return experts;
}

/// Fills in everything that follows from who was chosen.
void record(const BankScores& scores, Standings&& standings, const std::vector<std::int64_t>& candidates,
            const std::vector<std::int64_t>& experts, ExpertChoice& choice) {
  for (std::int64_t adapter : candidates) {
    AdapterStanding& row = standings.rows[static_cast<std::size_t>(adapter) + 1];
    row.candidate = true;
    choice.candidates.push_back(row.adapter);
  }
  for (std::int64_t adapter : experts) {
    AdapterStanding& row = standings.rows[static_cast<std::size_t>(adapter) + 1];
    row.expert = true;
    choice.experts.push_back(row.adapter);
  }
  if (experts.size() > 1) {
    const Tuple all = first_tuple(static_cast<std::int64_t>(experts.size()));
    choice.mean_similarity = TupleTable(scores, standings, experts).mean_similarity(all);
  }
  choice.standings = std::move(standings.rows);
}

}  // namespace

std::vector<std::string> notes_on_bank(const BankScores& scores) {
  std::vector<std::string> notes;
  for (std::size_t i = 0; i < scores.effect.size(); ++i) {
    if (scores.effect[i] == 0)
      notes.push_back(fmt::format(
          "adapter '{}' has no effect: its B A is zero in every layer (never trained, or lora_alpha is "
          "0). It is no candidate unless experts.names names it",
          scores.adapters[i + 1]));
  }
  for (std::size_t i = 0; i < scores.copy_of.size(); ++i) {
    if (scores.copy_of[i] >= 0 && scores.has_effect(static_cast<std::int64_t>(i)))
      notes.push_back(fmt::format("adapter '{}' is a copy of '{}': the same weights under another name",
                                  scores.adapters[i + 1],
                                  scores.adapters[static_cast<std::size_t>(scores.copy_of[i]) + 1]));
  }
  return notes;
}

ExpertChoice choose_experts(const BankScores& scores, const ExpertOptions& options) {
  Standings standings = stand(scores, options.signals);
  check_similarities(scores);
  const auto bank = static_cast<std::int64_t>(standings.order.size());
  ExpertChoice choice;
  choice.notes = notes_on_bank(scores);
  std::vector<std::int64_t> candidates, experts;
  if (!options.names.empty()) {
    candidates = experts = in_order(indices_of(options.names, scores), standings);
    record(scores, std::move(standings), candidates, experts, choice);
    return choice;
  }
  check_counts(options, bank, static_cast<std::int64_t>(usable(standings.order, scores).size()));
  const Signals& signals = options.signals;
  if (signals.perplexity) {
    for (const HeavyShot& heavy : heavy_shots(scores))
      choice.notes.push_back(
          describe(heavy, scores, fmt::format("shot {} (from 0) of {}", heavy.shot, scores.shots)));
  }
  if (!signals.perplexity && !signals.accuracy && !signals.diversity) {
    candidates = experts = in_order(drawn(scores, options), standings);
  } else {
    candidates = cut(scores, standings, options, choice);
    if (signals.diversity) {
      experts = best_tuple(scores, standings, candidates, options.count, choice);
    } else {
      experts.assign(candidates.begin(), candidates.begin() + options.count);
    }
  }
  record(scores, std::move(standings), candidates, experts, choice);
  return choice;
}

std::string best_single(const BankScores& scores) {
  const Standings standings = stand(scores, {});
  std::vector<std::int64_t> choice = usable(standings.order, scores);
  if (choice.empty()) choice = standings.order;
  const auto best = std::min_element(choice.begin(), choice.end(), [&](std::int64_t a, std::int64_t b) {
    const auto i = static_cast<std::size_t>(a), j = static_cast<std::size_t>(b);
    const AdapterStanding &x = standings.rows[i + 1], &y = standings.rows[j + 1];
    return std::tie(y.accuracy, standings.perplexity[i], x.adapter) <
           std::tie(x.accuracy, standings.perplexity[j], y.adapter);
  });
  return standings.rows[static_cast<std::size_t>(*best) + 1].adapter;
}

}  // namespace rocket
