#include "statistics/power.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reference.h"

namespace rocket {
namespace {

TEST(Power, AgreesWithTheSumOverAllOutcomes) {
  for (const auto& c : reference("power")) {
    const PowerPlan plan{.discordance = c["discordance"], .level = c["level"]};
    EXPECT_NEAR(mcnemar_power(c["items"], c["difference"], plan), c["power"].get<double>(), 2e-6) << c;
  }
}

TEST(ItemsNeeded, ReachThePowerAndOneFewerDoesNot) {
  for (const double difference : {0.02, 0.05, 0.1, 0.25}) {
    for (const double level : {0.05, 0.05 / 36}) {
      const PowerPlan plan{.level = level};
      const std::int64_t items = items_needed(difference, plan);
      EXPECT_GE(mcnemar_power(items, difference, plan), 0.8);
      EXPECT_LT(mcnemar_power(items - 1, difference, plan), 0.8);
    }
  }
}

TEST(ItemsNeeded, AreThoseOfConnorAndALittleMore) {
  // (1.959964 sqrt(0.25) + 0.841621 sqrt(0.25 - d^2))^2 / d^2
  for (const auto& [difference, connor] : {std::pair(0.02, 4903), {0.05, 783}, {0.1, 194}}) {
    EXPECT_GT(items_needed(difference, {}), connor);
    EXPECT_LT(items_needed(difference, {}), 1.12 * connor);
  }
}

TEST(DetectableDifference, IsTheInverseOfItemsNeeded) {
  for (const std::int64_t items : {100, 300, 5000}) {
    const double difference = detectable_difference(items, {});
    EXPECT_NEAR(static_cast<double>(items_needed(difference, {})), static_cast<double>(items),
                0.01 * items + 1);
  }
  EXPECT_EQ(detectable_difference(5, {}), 0) << "five items cannot show anything at this level";
}

TEST(NoteOnPower, SaysWhatItAssumes) {
  const std::string note = note_on_power(300, 4);
  for (const char* part :
       {"300 items show a difference of ", " points between two of 4 systems", "10 points need ", "5 need ",
        "1 needs ", "probability 0.8", "level 0.05", "6 pairs", "25 %"})
    EXPECT_THAT(note, testing::HasSubstr(part));
  EXPECT_THAT(note_on_power(8, 4), testing::HasSubstr("8 items show no difference"));
  EXPECT_EQ(note_on_power(300, 1), "");
}

}  // namespace
}  // namespace rocket
