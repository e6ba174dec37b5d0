#include "statistics/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "reference.h"

namespace rocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

PairedAnswers answers_of(const nlohmann::json& c) {
  PairedAnswers answers{{}, c["runs"], c["items"], c["correct"].get<std::vector<std::uint8_t>>()};
  for (int s = 0; s < c["systems"]; ++s) answers.systems.push_back(std::to_string(s));
  return answers;
}

TEST(Comparison, AgreesWithNumpyOnTheSameDraws) {
  for (const auto& c : reference("comparison")) {
    const Comparison found = compare_systems(answers_of(c), c["seed"], c["sets"]);
    ASSERT_EQ(found.pairs.size(), c["pairs"].size());
    for (std::size_t i = 0; i < found.pairs.size(); ++i) {
      const SystemPair& pair = found.pairs[i];
      const auto& expected = c["pairs"][i];
      EXPECT_EQ(pair.a, expected["a"]);
      EXPECT_EQ(pair.b, expected["b"]);
      EXPECT_EQ(pair.only_a, expected["only_a"]);
      EXPECT_EQ(pair.only_b, expected["only_b"]);
      for (const auto& [name, value] : {std::pair("difference", pair.difference),
                                        {"low", pair.low},
                                        {"high", pair.high},
                                        {"p", pair.p},
                                        {"p_holm", pair.p_holm}})
        EXPECT_NEAR(value, expected[name].get<double>(), 1e-9) << name << " of " << expected;
    }
    for (std::size_t s = 0; s < found.best.size(); ++s)
      EXPECT_NEAR(found.best[s], c["best"][s].get<double>(), 1e-9);
  }
}

TEST(Comparison, AgreesWithScipysBootstrap) {
  for (const auto& c : reference("comparison")) {
    if (c["runs"] != 1) continue;
    const Comparison found = compare_systems(answers_of(c));
    const double step = 1.0 / (c["items"].get<double>() + 2);  // the percentiles lie on this grid
    for (std::size_t i = 0; i < found.pairs.size(); ++i) {
      EXPECT_NEAR(found.pairs[i].low, c["pairs"][i]["scipy"][0].get<double>(), 1.01 * step);
      EXPECT_NEAR(found.pairs[i].high, c["pairs"][i]["scipy"][1].get<double>(), 1.01 * step);
    }
  }
}

/// Draws of a simulation.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  double uniform() { return rocket::uniform(seed_, stream("test"), next_++); }
  /// Irwin & Hall: near enough to a normal number.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }

 private:
  std::uint64_t seed_, next_ = 0;
};

/// Two systems, one run: an item is a's alone with probability `a`, b's alone with `b`.
PairedAnswers draw_pair(Dice& dice, std::int64_t items, double a, double b) {
  PairedAnswers answers{{"a", "b"}, 1, items, std::vector<std::uint8_t>(2 * static_cast<std::size_t>(items))};
  for (std::int64_t i = 0; i < items; ++i) {
    const double u = dice.uniform();
    answers.correct[i] = u < a || u >= a + b;
    answers.correct[items + i] = u >= a;
  }
  return answers;
}

TEST(Comparison, TheIntervalHoldsItsLevelForFewItemsAndHighAccuracies) {
  Dice dice(1);
  struct Case {
    std::int64_t items;
    double a, b;  // 0.04 and 0.02: accuracies of 0.97 and 0.95, say
  };
  for (const Case& c : {Case{30, 0.04, 0.01},
                        {30, 0.3, 0.1},
                        {100, 0.04, 0.02},
                        {100, 0.03, 0.03},
                        {500, 0.04, 0.02},
                        {500, 0.2, 0.15}}) {
    int covered = 0;
    constexpr int worlds = 200;
    for (int world = 0; world < worlds; ++world) {
      const SystemPair pair =
          compare_systems(draw_pair(dice, c.items, c.a, c.b), dice.uniform() * 1e9, 400).pairs[0];
      covered += pair.low <= c.a - c.b && c.a - c.b <= pair.high;
    }
    EXPECT_GE(covered, 0.92 * worlds) << c.items << " items, " << c.a << ", " << c.b;
  }
}

/// Systems of equal accuracy over all runs and items: hard and easy items, good and bad runs.
PairedAnswers draw_runs(Dice& dice, std::int64_t runs, std::int64_t items) {
  std::vector<double> hardness, luck;
  for (std::int64_t i = 0; i < 2 * items; ++i) hardness.push_back(0.15 * dice.normal());
  for (std::int64_t i = 0; i < 2 * runs; ++i) luck.push_back(0.06 * dice.normal());
  PairedAnswers answers{{"a", "b"}, runs, items, {}};
  for (std::int64_t row = 0; row < 2 * runs; ++row)
    for (std::int64_t i = 0; i < items; ++i)
      answers.correct.push_back(dice.uniform() < 0.5 + luck[row] + hardness[row % 2 * items + i]);
  return answers;
}

TEST(Comparison, SeveralRunsHoldTheLevelOfIntervalAndTest) {
  Dice dice(2);
  for (const auto& [runs, items] :
       {std::pair<std::int64_t, std::int64_t>(2, 100), {3, 30}, {3, 500}, {5, 100}}) {
    int covered = 0, found = 0;
    constexpr int worlds = 200;
    for (int world = 0; world < worlds; ++world) {
      const SystemPair pair =
          compare_systems(draw_runs(dice, runs, items), dice.uniform() * 1e9, 400).pairs[0];
      covered += pair.low <= 0 && 0 <= pair.high;
      found += pair.p < 0.05;
    }
    EXPECT_GE(covered, 0.92 * worlds) << runs << " runs of " << items << " items";
    EXPECT_LE(found, 0.08 * worlds) << runs << " runs of " << items << " items";
  }
}

TEST(Comparison, TellsABetterSystemAndSaysSo) {
  PairedAnswers answers{{"bad", "good", "fair"}, 1, 100, std::vector<std::uint8_t>(300)};
  for (int i = 0; i < 100; ++i) {
    answers.correct[i] = i < 30;
    answers.correct[100 + i] = i < 80;
    answers.correct[200 + i] = i < 78;
  }
  const Comparison found = compare_systems(answers);
  EXPECT_THAT(found.worse_than(1), ElementsAre(0));
  EXPECT_THAT(found.worse_than(2), ElementsAre(0));
  EXPECT_TRUE(found.worse_than(0).empty());
  EXPECT_EQ(found.best[0], 0);
  // The fair one ties with the good one where none of the 102 places of a set is one of the two items between
  // them.
  EXPECT_NEAR(found.best[1], 1 - std::pow(100.0 / 102, 102) / 2, 0.01);
  EXPECT_NEAR(std::accumulate(found.best.begin(), found.best.end(), 0.0), 1, 1e-9);
}

TEST(Comparison, SystemsThatAgreeEverywhereHaveAnIntervalAroundZero) {
  const Comparison found = compare_systems({{"a", "b"}, 1, 20, std::vector<std::uint8_t>(40, 1)});
  EXPECT_LT(found.pairs[0].low, -0.04);
  EXPECT_GT(found.pairs[0].high, 0.04);
  EXPECT_EQ(found.pairs[0].p, 1);
  EXPECT_THAT(found.best, ElementsAre(testing::DoubleNear(0.5, 1e-9), testing::DoubleNear(0.5, 1e-9)));
}

TEST(Comparison, OneSystemAloneIsTheBestAndHasNoPairs) {
  const Comparison found = compare_systems({{"a"}, 1, 3, {1, 0, 1}});
  EXPECT_TRUE(found.pairs.empty());
  EXPECT_THAT(found.best, ElementsAre(1));
}

TEST(Comparison, DependsOnTheSeedOnly) {
  Dice dice(4);
  const PairedAnswers answers = draw_pair(dice, 50, 0.3, 0.2);
  EXPECT_EQ(compare_systems(answers, 1).best, compare_systems(answers, 1).best);
  EXPECT_NE(compare_systems(answers, 1).best, compare_systems(answers, 2).best);
}

std::string refusal(const PairedAnswers& answers) {
  try {
    compare_systems(answers);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
  return "";
}

TEST(Comparison, RefusesWhatIsNotPaired) {
  EXPECT_THAT(refusal({{}, 1, 3, {}}), HasSubstr("0 systems"));
  EXPECT_THAT(refusal({{"a", "b"}, 1, 0, {}}), HasSubstr("0 items"));
  EXPECT_THAT(refusal({{"a", "b"}, 0, 2, {}}), HasSubstr("0 runs"));
  EXPECT_THAT(refusal({{"a", "b"}, 1, 2, {1, 0, 1}}), HasSubstr("same items"));
  EXPECT_THAT(refusal({{"a", "b"}, 1, 2, {1, 0, 1, 2}}), HasSubstr("found 2"));
}

}  // namespace
}  // namespace rocket
