// How often the intervals of statistics/comparison.h hold the truth, beside others that were tried, and how
// often its tests find a difference where there is none. bench_statistics [WORLDS [PART]]. README.md beside
// this file.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "statistics/binomial.h"
#include "statistics/comparison.h"
#include "statistics/resample.h"
#include "statistics/significance.h"

namespace rocket {
namespace {

constexpr std::int64_t sets = 2000;

struct Interval {
  double low = 0, high = 0;
  bool holds(double truth) const { return low - 1e-9 <= truth && truth <= high + 1e-9; }
};

/// Of values that are sorted here.
double quantile(std::vector<double>& values, double share) {
  std::ranges::sort(values);
  const double place = std::clamp(share, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

Interval percentiles(std::vector<double> values) {
  return {quantile(values, 0.025), quantile(values, 0.975)};
}

double normal_below(double z) {
  return std::erfc(-z / std::numbers::sqrt2) / 2;
}

double normal_quantile(double share) {
  double low = -40, high = 40;
  while (high - low > 1e-12) {
    const double middle = (low + high) / 2;
    (normal_below(middle) < share ? low : high) = middle;
  }
  return low;
}

/// One run of two systems: `a` items that only the one answers right, `b` that only the other does.
struct Outcome {
  std::int64_t items, a, b;

  double difference() const { return static_cast<double>(a - b) / static_cast<double>(items); }
  double standard_error() const {
    const double d = difference(), discordant = static_cast<double>(a + b) / static_cast<double>(items);
    return std::sqrt(std::max(0.0, discordant - d * d) / static_cast<double>(items));
  }
};

std::vector<Outcome> resampled(const Outcome& outcome) {
  static const std::uint64_t draws = stream("bench.items");
  std::vector<Outcome> all;
  for (std::uint64_t set = 0; set < sets; ++set) {
    const std::vector<int> times = resample(outcome.items, 1, draws, set);
    Outcome drawn{outcome.items, 0, 0};
    for (std::int64_t i = 0; i < outcome.a; ++i) drawn.a += times[i];
    for (std::int64_t i = outcome.a; i < outcome.a + outcome.b; ++i) drawn.b += times[i];
    all.push_back(drawn);
  }
  return all;
}

Interval percentile(const Outcome&, const std::vector<Outcome>& drawn) {
  std::vector<double> values;
  for (const Outcome& d : drawn) values.push_back(d.difference());
  return percentiles(values);
}

/// Efron 1987; of values that equal the estimate, half lie below it.
Interval bca(const Outcome& outcome, const std::vector<Outcome>& drawn) {
  const double d = outcome.difference(), n = static_cast<double>(outcome.items);
  if (outcome.a + outcome.b == 0) return {};
  std::vector<double> values;
  double below = 0;
  for (const Outcome& o : drawn) {
    values.push_back(o.difference());
    below += std::abs(values.back() - d) < 1e-12 ? 0.5 : values.back() < d;
  }
  const double bias = normal_quantile(std::clamp(below / sets, 0.5 / sets, 1 - 0.5 / sets));
  const auto a = static_cast<double>(outcome.a), b = static_cast<double>(outcome.b), c = n - a - b;
  const double cubes = a * std::pow(1 - d, 3) + b * std::pow(-1 - d, 3) + c * std::pow(-d, 3);
  const double squares = a * std::pow(1 - d, 2) + b * std::pow(1 + d, 2) + c * d * d;
  const double skew = squares > 0 ? cubes / (6 * std::pow(squares, 1.5)) : 0;
  const auto end = [&](double z) {
    return quantile(values, normal_below(bias + (bias + z) / (1 - skew * (bias + z))));
  };
  return {end(-1.959964), end(1.959964)};
}

/// A set whose standard error is 0 counts as infinitely far from the estimate.
Interval studentised(const Outcome& outcome, const std::vector<Outcome>& drawn) {
  const double d = outcome.difference(), error = outcome.standard_error();
  if (error == 0) return {d, d};
  std::vector<double> t;
  for (const Outcome& o : drawn) {
    const double distance = o.difference() - d, own = o.standard_error();
    t.push_back(std::abs(distance) < 1e-12 ? 0 : own > 0 ? distance / own : std::copysign(1e9, distance));
  }
  return {std::max(-1.0, d - quantile(t, 0.975) * error), std::min(1.0, d - quantile(t, 0.025) * error)};
}

Interval ours(const Outcome& outcome, const std::vector<Outcome>&) {
  PairedAnswers answers{{"a", "b"}, 1, outcome.items, std::vector<std::uint8_t>(2 * outcome.items, 1)};
  for (std::int64_t i = 0; i < outcome.a; ++i) answers.correct[outcome.items + i] = 0;
  for (std::int64_t i = outcome.a; i < outcome.a + outcome.b; ++i) answers.correct[i] = 0;
  const SystemPair pair = compare_systems(answers, 1, sets).pairs[0];
  return {pair.low, pair.high};
}

/// Coverage and mean width over all outcomes that are likelier than one in 100,000.
void one_run(std::int64_t items, double a, double b) {
  const std::array ways{percentile, bca, studentised, ours};
  std::vector<double> covered(ways.size()), width(ways.size());
  double seen = 0;
  for (std::int64_t m = 0; m <= items; ++m) {
    for (std::int64_t k = 0; k <= m; ++k) {
      const double chance = std::exp(log_binomial(m, items, a + b) + log_binomial(k, m, a / (a + b)));
      if (chance < 1e-5) continue;
      seen += chance;
      const Outcome outcome{items, k, m - k};
      const std::vector<Outcome> drawn = resampled(outcome);
      std::size_t way = 0;
      for (const auto& interval : ways) {
        const Interval found = interval(outcome, drawn);
        covered[way] += chance * found.holds(a - b);
        width[way++] += chance * (found.high - found.low);
      }
    }
  }
  std::string line = fmt::format("| {} | {:g}, {:g} |", items, a, b);
  for (std::size_t way = 0; way < ways.size(); ++way)
    line += fmt::format(" {:.3f} ({:.3f}) |", covered[way] / seen, width[way] / seen);
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  double uniform() { return rocket::uniform(seed_, stream_, next_++); }
  double normal() {
    const double radius = std::sqrt(-2 * std::log1p(-uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t seed_, stream_ = stream("bench.world"), next_ = 0;
};

/// Systems of one accuracy on average over runs and items. An item is hard for all systems (1.5) and for each
/// (1), a run of a system is better or worse (`luck`): standard deviations of the logit of a right answer.
PairedAnswers world_of(Dice& dice, std::int64_t systems, std::int64_t runs, std::int64_t items, double luck) {
  std::vector<double> hard, run;
  for (std::int64_t i = 0; i < items; ++i) {
    const double for_all = 1.5 * dice.normal();
    for (std::int64_t s = 0; s < systems; ++s) hard.push_back(for_all + dice.normal());
  }
  for (std::int64_t i = 0; i < systems * runs; ++i) run.push_back(luck * dice.normal());
  PairedAnswers answers{std::vector<std::string>(systems, "s"), runs, items, {}};
  for (std::int64_t row = 0; row < systems * runs; ++row)
    for (std::int64_t i = 0; i < items; ++i)
      answers.correct.push_back(dice.uniform() <
                                1 / (1 + std::exp(-1 - run[row] - hard[i * systems + row % systems])));
  return answers;
}

/// Of two systems, with plain resampling: the items drawn anew for each drawn run, or the same for all.
Interval resampled_runs(const PairedAnswers& world, bool same_items, Dice& dice) {
  const auto runs = static_cast<std::size_t>(world.runs), items = static_cast<std::size_t>(world.items);
  std::vector<double> all;
  std::vector<std::size_t> places(items);
  for (std::int64_t set = 0; set < sets / 4; ++set) {
    int sum = 0;
    for (std::size_t r = 0; r < runs; ++r) {
      if (r == 0 || !same_items)
        for (std::size_t& place : places)
          place = static_cast<std::size_t>(dice.uniform() * static_cast<double>(items));
      const auto run = static_cast<std::size_t>(dice.uniform() * static_cast<double>(runs));
      const std::uint8_t* a = world.correct.data() + 2 * run * items;
      for (const std::size_t i : places) sum += a[i] - a[items + i];
    }
    all.push_back(sum / static_cast<double>(runs * items));
  }
  return percentiles(all);
}

void several_runs(Dice& dice, std::int64_t runs, std::int64_t items, double luck, int worlds) {
  double covered[3] = {}, width[3] = {}, found = 0, pooled = 0;
  for (int w = 0; w < worlds; ++w) {
    const PairedAnswers world = world_of(dice, 2, runs, items, luck);
    const SystemPair pair =
        compare_systems(world, static_cast<std::uint64_t>(dice.uniform() * 1e9), sets / 4).pairs[0];
    const Interval intervals[] = {
        resampled_runs(world, false, dice), resampled_runs(world, true, dice), {pair.low, pair.high}};
    for (int i = 0; i < 3; ++i) {
      covered[i] += intervals[i].holds(0);
      width[i] += intervals[i].high - intervals[i].low;
    }
    found += pair.p < 0.05;
    pooled += mcnemar_exact(pair.only_a, pair.only_b) < 0.05;
  }
  std::string line = fmt::format("| {:g} | {} | {} |", luck, runs, items);
  for (int i = 0; i < 3; ++i)
    line += fmt::format(" {:.3f} ({:.3f}) |", covered[i] / worlds, width[i] / worlds);
  fmt::print("{} {:.3f} | {:.3f} |\n", line, found / worlds, pooled / worlds);
  std::fflush(stdout);
}

void families(Dice& dice, std::int64_t systems, std::int64_t items, int worlds) {
  int one = 0, any = 0;
  for (int w = 0; w < worlds; ++w) {
    const Comparison comparison = compare_systems(world_of(dice, systems, 1, items, 0), 0, 1);
    one += comparison.pairs[0].p < 0.05;
    any += std::ranges::any_of(comparison.pairs, &SystemPair::beyond_chance);
  }
  fmt::print("| {} | {} | {:.4f} | {:.4f} |\n", systems, items, one / static_cast<double>(worlds),
             any / static_cast<double>(worlds));
  std::fflush(stdout);
}

void all_of_one_run() {
  fmt::print(
      "One run: coverage of nominal 95 % (mean width), exact over all outcomes\n\n"
      "| items | only a, only b right | percentile | BCa | studentised | ours "
      "|\n|---|---|---|---|---|---|\n");
  // With two accuracies near 0.95 some 4 to 7 % of the items are right of one alone.
  for (const std::int64_t items : {30, 100, 500})
    for (const auto& [a, b] :
         {std::pair(0.03, 0.03), {0.04, 0.02}, {0.05, 0.02}, {0.07, 0.02}, {0.15, 0.15}, {0.2, 0.1}})
      one_run(items, a, b);
}

void all_of_several_runs(int worlds) {
  fmt::print(
      "\nSeveral runs, two systems that are equal on average, {} worlds: coverage (mean width), then how "
      "often a "
      "difference is found at 0.05\n\n| runs differ by | runs | items | items anew for each run | same items "
      "| "
      "ours | our p | McNemar, runs pooled |\n|---|---|---|---|---|---|---|---|\n",
      worlds);
  Dice dice(20);
  for (const std::int64_t items : {30, 100, 500})
    for (const double luck : {0.0, 0.6})
      for (const std::int64_t runs : {2, 3, 5}) several_runs(dice, runs, items, luck, worlds);
}

void all_families(int worlds) {
  fmt::print(
      "\nEqual systems, one run, {} worlds: share with p < 0.05 of one pair, and of any pair after Holm\n\n"
      "| systems | items | one pair | any pair |\n|---|---|---|---|\n",
      worlds);
  Dice dice(21);
  for (const auto& [systems, items] :
       {std::pair<std::int64_t, std::int64_t>(2, 30), {2, 100}, {2, 500}, {4, 100}, {4, 500}, {9, 500}})
    families(dice, systems, items, worlds);
}

}  // namespace
}  // namespace rocket

int main(int argc, char** argv) {
  const int worlds = argc > 1 ? std::atoi(argv[1]) : 500;
  const std::string part = argc > 2 ? argv[2] : "all";
  if (part == "all" || part == "one") rocket::all_of_one_run();
  if (part == "all" || part == "several") rocket::all_of_several_runs(worlds);
  if (part == "all" || part == "families") rocket::all_families(10 * worlds);
}
