#include "adapters/bank_plan.h"

#include <gmock/gmock.h>

namespace rocket {
namespace {

using testing::HasSubstr;

// Rank 16 on the seven linear layers of a 7B Llama (hidden 4096, intermediate 11008, 32 layers):
// 32 x 16 x (4 x (4096 + 4096) + 3 x (4096 + 11008)) = 39,976,960 values.
constexpr std::int64_t kValues = 39'976'960;

TEST(BankPlan, AThousandAdaptersOfA7B) {
  const std::vector<AdapterFacts> bank(1000,
                                       {2 * kValues, 4 * kValues, "x"});  // bfloat16, from float32 files
  const BankPlan plan = plan_bank(bank, std::int64_t{4} << 30, 8, 2);
  EXPECT_EQ(plan.adapters, 1000);
  EXPECT_EQ(plan.bytes, 79'953'920'000);
  EXPECT_EQ(plan.stored_bytes, 159'907'840'000);
  EXPECT_TRUE(plan.paged());
  EXPECT_EQ(plan.resident, 53);  // 4 GiB / 79,953,920
  EXPECT_EQ(plan.passes, 4);
  EXPECT_EQ(plan.bytes_read(), 639'631'360'000);
  EXPECT_EQ(
      describe(plan),
      "bank: 1000 adapters x 76.2 MiB = 74.5 GiB in memory; bank.memory, 4.0 GiB a rank, holds 53 at once: "
      "the bank is paged\n"
      "bank: 148.9 GiB of weights in its files x 4 passes (validation, 2 for scores, similarity) = 595.7 GiB "
      "to read\n");
}

TEST(BankPlan, ABankThatFits) {
  const std::vector<AdapterFacts> bank = {{100, 100, ""}, {50, 25, ""}};
  const BankPlan plan = plan_bank(bank, 150, 1, 4);
  EXPECT_FALSE(plan.paged());
  EXPECT_EQ(plan.resident, 2);
  EXPECT_EQ(plan.passes, 3);
  EXPECT_EQ(plan.bytes_read(), 375);
  EXPECT_THAT(describe(plan), HasSubstr("holds them all"));
  EXPECT_THAT(describe(plan), HasSubstr("(at most 0.0 MiB)"));
  EXPECT_EQ(plan_bank(bank, 149, 1, 1).resident, 1);
}

TEST(BankPlan, AnAdapterThatIsTooLarge) {
  const BankPlan plan = plan_bank({{100, 100, ""}}, 10, 4, 0);
  EXPECT_EQ(plan.resident, 1);
  EXPECT_EQ(plan.passes, 3);
  EXPECT_THAT(describe(plan), HasSubstr("larger than bank.memory"));
}

}  // namespace
}  // namespace rocket
