#include "selection/standings.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <tuple>

#include "base/error.h"

namespace rocket {
namespace {

constexpr int kPerplexityDigits = 12;

/// To so many significant decimal digits; infinities stay.
double round_significant(double value, int digits) {
  return std::isfinite(value) ? std::strtod(fmt::format("{:.{}e}", value, digits - 1).c_str(), nullptr)
                              : value;
}

void check_shapes(const BankScores& scores) {
  const std::size_t rows = scores.adapters.size();
  if (rows < 2) {
    fail_data("the bank holds no adapter: there is nothing to choose from");
  }
  if (scores.shots < 1) {
    fail_data("the scores hold no shot: there is nothing to choose by");
  }
  const std::size_t cells = rows * static_cast<std::size_t>(scores.shots);
  if (scores.nll.size() != cells || scores.correct.size() != cells ||
      scores.similarity.size() != (rows - 1) * (rows - 1)) {
    fail_internal("bank scores of {} rows and {} shots hold {} nll, {} correct, {} similarities", rows,
                  scores.shots, scores.nll.size(), scores.correct.size(), scores.similarity.size());
  }
}

std::vector<double> perplexities_of(const BankScores& scores, std::size_t row) {
  const auto shots = static_cast<std::size_t>(scores.shots);
  std::vector<double> result(shots);
  for (std::size_t shot = 0; shot < shots; ++shot) {
    const double nll = scores.nll[row * shots + shot];
    if (!std::isfinite(nll)) {
      fail_data("adapter '{}': the nll of shot {} is {}: run `rocket score CONFIG --fresh`",
                scores.adapters[row], shot, nll);
    }
    result[shot] = std::exp(nll);
  }
  return result;
}

std::optional<double> standard_error(const std::vector<double>& values, double mean) {
  const auto n = static_cast<double>(values.size());
  if (values.size() < 2 || !std::isfinite(mean)) {
    return std::nullopt;
  }
  double squares = 0;
  for (double value : values) {
    squares += (value - mean) * (value - mean);
  }
  return std::sqrt(squares / (n - 1)) / std::sqrt(n);
}

AdapterStanding figures_of(const BankScores& scores, std::size_t row) {
  const auto shots = static_cast<std::size_t>(scores.shots);
  const auto n = static_cast<double>(shots);
  const std::vector<double> perplexities = perplexities_of(scores, row);
  std::size_t hits = 0;
  for (std::size_t shot = 0; shot < shots; ++shot) {
    hits += scores.correct[row * shots + shot] != 0;
  }
  AdapterStanding standing;
  standing.adapter = scores.adapters[row];
  standing.perplexity = std::accumulate(perplexities.begin(), perplexities.end(), 0.0) / n;
  standing.perplexity_se = standard_error(perplexities, standing.perplexity);
  standing.accuracy = static_cast<double>(hits) / n;
  standing.accuracy_se = std::sqrt(standing.accuracy * (1 - standing.accuracy) / n);
  return standing;
}

void set_places(Standings& standings, const Signals& signals) {
  const std::size_t adapters = standings.perplexity.size();
  std::vector<double> misses(adapters);
  for (std::size_t i = 0; i < adapters; ++i) {
    misses[i] = -standings.rows[i + 1].accuracy;
  }
  const std::vector<double> none(adapters, 0.0);
  const std::vector<double> by_perplexity = signals.perplexity ? average_ranks(standings.perplexity) : none;
  const std::vector<double> by_accuracy = signals.accuracy ? average_ranks(misses) : none;
  standings.place.resize(adapters);
  for (std::size_t i = 0; i < adapters; ++i) {
    standings.place[i] = by_perplexity[i] + by_accuracy[i];
    AdapterStanding& row = standings.rows[i + 1];
    row.place_perplexity = by_perplexity[i];
    row.place_accuracy = by_accuracy[i];
    row.place = standings.place[i];
  }
}

}  // namespace

std::vector<double> average_ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t end = first + 1;
    while (end < order.size() && values[order[end]] == values[order[first]]) {
      ++end;
    }
    for (std::size_t i = first; i < end; ++i) {
      ranks[order[i]] = static_cast<double>(first + 1 + end) / 2;
    }
    first = end;
  }
  return ranks;
}

Standings stand(const BankScores& scores, const Signals& signals) {
  check_shapes(scores);
  Standings standings;
  for (std::size_t row = 0; row < scores.adapters.size(); ++row) {
    standings.rows.push_back(figures_of(scores, row));
    if (row > 0) {
      standings.perplexity.push_back(round_significant(standings.rows[row].perplexity, kPerplexityDigits));
    }
  }
  set_places(standings, signals);
  standings.order.resize(standings.place.size());
  std::iota(standings.order.begin(), standings.order.end(), std::int64_t{0});
  std::sort(standings.order.begin(), standings.order.end(), [&](std::int64_t a, std::int64_t b) {
    const auto i = static_cast<std::size_t>(a), j = static_cast<std::size_t>(b);
    return std::tie(standings.place[i], standings.perplexity[i], standings.rows[i + 1].adapter) <
           std::tie(standings.place[j], standings.perplexity[j], standings.rows[j + 1].adapter);
  });
  return standings;
}

}  // namespace rocket
