#include "statistics/comparison.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "base/error.h"
#include "base/random.h"
#include "statistics/resample.h"
#include "statistics/significance.h"

namespace rocket {
namespace {

// Sums of rounded shares that are equal in truth differ by less.
constexpr double rounding = 1e-12;

void require_paired(const PairedAnswers& answers) {
  const auto systems = static_cast<std::int64_t>(answers.systems.size());
  if (systems < 1 || answers.runs < 1 || answers.items < 1)
    fail_data("nothing to compare: {} systems, {} runs, {} items", systems, answers.runs, answers.items);
  if (static_cast<std::int64_t>(answers.correct.size()) != answers.runs * systems * answers.items)
    fail_data("{} runs of {} systems on {} items have {} answers, found {}: all must have the same items",
              answers.runs, systems, answers.items, answers.runs * systems * answers.items,
              answers.correct.size());
  if (const auto bad = std::ranges::find_if(answers.correct, [](std::uint8_t right) { return right > 1; });
      bad != answers.correct.end())
    fail_data("an answer is right (1) or wrong (0), found {}", *bad);
}

/// x from chi squared, as a sum of squares of normal numbers (Box & Muller 1958). Never 0.
double chi_squared(std::int64_t degrees, std::uint64_t seed, std::uint64_t number) {
  static const std::uint64_t draws = stream("comparison.spread");
  double sum = 0;
  for (std::int64_t i = 0; i < degrees; ++i) {
    const auto index = 2 * (number * static_cast<std::uint64_t>(degrees) + static_cast<std::uint64_t>(i));
    const double radius = -2 * std::log1p(-uniform(seed, draws, index));
    const double cosine = std::cos(2 * std::numbers::pi * uniform(seed, draws, index + 1));
    sum += radius * cosine * cosine;
  }
  return std::max(sum, 1e-300);
}

/// The resampled sets.
class Resamples {
 public:
  Resamples(const PairedAnswers& answers, std::uint64_t seed, std::int64_t count);

  /// Of a in every set less that of b, with the two pseudo-items.
  std::vector<double> differences(std::size_t a, std::size_t b) const;
  /// [S]: how often each is the best.
  std::vector<double> best() const;

 private:
  void draw_set(std::int64_t number);
  /// [R, S]: of every run and system, the share of right answers among so many times each item.
  std::vector<double> shares(std::span<const int> times) const;

  const PairedAnswers& answers_;
  std::uint64_t seed_;
  std::size_t systems_;
  std::int64_t places_;            // of a set: items and two pseudo-items
  std::vector<double> deviation_;  // [R, S]: of a run's share from the mean of all runs
  std::vector<double> shares_;     // [sets, S]
  std::vector<double> lean_;       // [sets]: what the pseudo-items add to any difference
};

Resamples::Resamples(const PairedAnswers& answers, std::uint64_t seed, std::int64_t count)
    : answers_(answers), seed_(seed), systems_(answers.systems.size()), places_(answers.items + 2) {
  deviation_ = shares(std::vector<int>(static_cast<std::size_t>(places_), 1));
  for (std::size_t s = 0; s < systems_; ++s) {
    double mean = 0;
    for (std::size_t i = s; i < deviation_.size(); i += systems_)
      mean += deviation_[i] / static_cast<double>(answers.runs);
    for (std::size_t i = s; i < deviation_.size(); i += systems_) deviation_[i] -= mean;
  }
  for (std::int64_t number = 0; number < count; ++number) draw_set(number);
}

std::vector<double> Resamples::shares(std::span<const int> times) const {
  std::vector<double> right;
  const auto items = static_cast<std::size_t>(answers_.items);
  for (std::size_t row = 0; row < answers_.correct.size(); row += items) {
    int sum = 0;
    for (std::size_t i = 0; i < items; ++i) sum += times[i] * answers_.correct[row + i];
    right.push_back(sum / static_cast<double>(places_));
  }
  return right;
}

void Resamples::draw_set(std::int64_t number) {
  static const std::uint64_t of_items = stream("comparison.items"), of_runs = stream("comparison.runs");
  const auto set = static_cast<std::uint64_t>(number);
  const auto runs = static_cast<double>(answers_.runs);
  const std::vector<int> run_times = resample(answers_.runs, seed_, of_runs, set);
  const std::vector<int> times = resample(places_, seed_, of_items, set);
  const std::vector<double> right = shares(times);
  const double stretch = answers_.runs > 1 ? std::sqrt(runs / chi_squared(answers_.runs - 1, seed_, set)) : 1;
  for (std::size_t s = 0; s < systems_; ++s) {
    double share = 0;
    for (std::size_t r = 0; r < run_times.size(); ++r) {
      const std::size_t i = r * systems_ + s;
      share += run_times[r] / runs * (right[i] + (stretch - 1) * deviation_[i]);
    }
    shares_.push_back(share);
  }
  lean_.push_back((times[times.size() - 2] - times[times.size() - 1]) / static_cast<double>(places_));
}

std::vector<double> Resamples::differences(std::size_t a, std::size_t b) const {
  std::vector<double> all;
  for (std::size_t set = 0; set < lean_.size(); ++set)
    all.push_back(shares_[set * systems_ + a] - shares_[set * systems_ + b] + lean_[set]);
  return all;
}

std::vector<double> Resamples::best() const {
  std::vector<double> best(systems_);
  for (auto set = shares_.begin(); set != shares_.end(); set += static_cast<std::ptrdiff_t>(systems_)) {
    const std::span<const double> shares(set, systems_);
    const double limit = std::ranges::max(shares) - rounding;
    const auto equals =
        static_cast<double>(std::ranges::count_if(shares, [&](double x) { return x >= limit; }));
    for (std::size_t s = 0; s < systems_; ++s)
      if (shares[s] >= limit) best[s] += 1 / equals;
  }
  for (double& share : best) share /= static_cast<double>(lean_.size());
  return best;
}

/// Of sorted values, linear between them.
double quantile(std::span<const double> sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

/// Twice the smaller share of sets on either side of zero, one set counted more.
double sign_p(std::span<const double> differences) {
  const auto up = std::ranges::count_if(differences, [](double d) { return d >= -rounding; });
  const auto down = std::ranges::count_if(differences, [](double d) { return d <= rounding; });
  return std::min(
      1.0, 2 * static_cast<double>(std::min(up, down) + 1) / static_cast<double>(differences.size() + 1));
}

/// What the answers themselves say, without resampling.
SystemPair observed(const PairedAnswers& answers, std::size_t a, std::size_t b) {
  SystemPair pair{.a = a, .b = b};
  const auto items = static_cast<std::size_t>(answers.items);
  for (std::size_t run = 0; run < static_cast<std::size_t>(answers.runs); ++run) {
    const std::size_t first = run * answers.systems.size() * items;
    for (std::size_t i = first; i < first + items; ++i) {
      const std::uint8_t right_a = answers.correct[i + a * items], right_b = answers.correct[i + b * items];
      pair.only_a += right_a > right_b;
      pair.only_b += right_b > right_a;
    }
  }
  pair.difference =
      static_cast<double>(pair.only_a - pair.only_b) / static_cast<double>(answers.runs * answers.items);
  return pair;
}

}  // namespace

std::size_t PairedAnswers::place_of(const std::string& system) const {
  const auto place = std::ranges::find(systems, system);
  if (place == systems.end()) fail_internal("{} is not compared", system);
  return static_cast<std::size_t>(place - systems.begin());
}

std::vector<std::size_t> Comparison::worse_than(std::size_t system) const {
  std::vector<std::size_t> worse;
  for (const SystemPair& pair : pairs) {
    if (!pair.beyond_chance()) continue;
    if (pair.a == system && pair.difference > 0) worse.push_back(pair.b);
    if (pair.b == system && pair.difference < 0) worse.push_back(pair.a);
  }
  std::ranges::sort(worse);
  return worse;
}

Comparison compare_systems(const PairedAnswers& answers, std::uint64_t seed, std::int64_t resamples) {
  require_paired(answers);
  const Resamples sets(answers, seed, resamples);
  Comparison comparison{{}, sets.best()};
  std::vector<double> family;
  for (std::size_t a = 0; a < answers.systems.size(); ++a) {
    for (std::size_t b = a + 1; b < answers.systems.size(); ++b) {
      SystemPair pair = observed(answers, a, b);
      std::vector<double> differences = sets.differences(a, b);
      std::ranges::sort(differences);
      pair.low = std::max(-1.0, quantile(differences, 0.025));
      pair.high = std::min(1.0, quantile(differences, 0.975));
      pair.p = answers.runs == 1 ? mcnemar_exact(pair.only_a, pair.only_b) : sign_p(differences);
      family.push_back(pair.p);
      comparison.pairs.push_back(pair);
    }
  }
  const std::vector<double> corrected = holm(family);
  for (std::size_t i = 0; i < corrected.size(); ++i) comparison.pairs[i].p_holm = corrected[i];
  return comparison;
}

}  // namespace rocket
