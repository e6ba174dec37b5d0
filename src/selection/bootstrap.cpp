#include "selection/bootstrap.h"

#include <cmath>
#include <span>

#include "base/random.h"
#include "selection/standings.h"
#include "statistics/resample.h"

namespace rocket {
namespace {

/// Sum over a resampled set of how much worse one adapter is than another, shot by shot.
double total(std::span<const double> worse_by, const std::vector<int>& counts) {
  double sum = 0;
  for (std::size_t shot = 0; shot < counts.size(); ++shot) {
    sum += counts[shot] > 0 ? counts[shot] * worse_by[shot] : 0;
  }
  return sum;
}

/// One figure of the bank, smaller is better: [A, K] values and the adapter to beat.
struct Figure {
  std::vector<double> worse_by;  // [A, K] than the best

  Figure(const std::vector<double>& values, std::size_t best, std::size_t shots) : worse_by(values.size()) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double lead = values[best * shots + i % shots];
      worse_by[i] = values[i] == lead ? 0 : values[i] - lead;  // equal infinities are equal
    }
  }

  bool holds_up(std::size_t adapter, const std::vector<int>& counts) const {
    return total(std::span(worse_by).subspan(adapter * counts.size(), counts.size()), counts) <= 0;
  }
};

std::size_t index_of_best(const std::vector<AdapterStanding>& rows, bool by_accuracy) {
  std::size_t best = 1;
  for (std::size_t i = 2; i < rows.size(); ++i) {
    const bool better =
        by_accuracy ? rows[i].accuracy > rows[best].accuracy : rows[i].perplexity < rows[best].perplexity;
    best = better ? i : best;
  }
  return best - 1;
}

}  // namespace

std::vector<BootstrapShare> compare_with_best(const BankScores& scores, std::uint64_t seed,
                                              std::int64_t resamples) {
  const Standings standings = stand(scores, {});
  const std::size_t adapters = standings.place.size();
  const auto shots = static_cast<std::size_t>(scores.shots);
  std::vector<double> perplexities, misses;
  for (std::size_t i = shots; i < scores.nll.size(); ++i) {
    perplexities.push_back(std::exp(scores.nll[i]));
    misses.push_back(scores.correct[i] ? 0 : 1);
  }
  const Figure perplexity(perplexities, index_of_best(standings.rows, false), shots);
  const Figure accuracy(misses, index_of_best(standings.rows, true), shots);
  std::vector<BootstrapShare> shares(adapters, {0, 0});
  const std::uint64_t draws = stream("bootstrap");
  for (std::int64_t number = 0; number < resamples; ++number) {
    const std::vector<int> counts = resample(scores.shots, seed, draws, static_cast<std::uint64_t>(number));
    for (std::size_t i = 0; i < adapters; ++i) {
      shares[i].perplexity += perplexity.holds_up(i, counts);
      shares[i].accuracy += accuracy.holds_up(i, counts);
    }
  }
  for (BootstrapShare& share : shares) {
    share.perplexity /= static_cast<double>(resamples);
    share.accuracy /= static_cast<double>(resamples);
  }
  return shares;
}

}  // namespace rocket
