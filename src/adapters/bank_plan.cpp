#include "adapters/bank_plan.h"

#include <fmt/format.h>

#include <algorithm>

namespace rocket {

BankPlan plan_bank(const std::vector<AdapterFacts>& adapters, std::int64_t budget, std::int64_t ranks,
                   std::int64_t blocks) {
  BankPlan plan;
  plan.adapters = static_cast<std::int64_t>(adapters.size());
  plan.budget = budget;
  for (const AdapterFacts& adapter : adapters) {
    plan.bytes += adapter.bytes;
    plan.stored_bytes += adapter.stored_bytes;
    plan.largest = std::max(plan.largest, adapter.bytes);
  }
  plan.resident = plan.paged() ? std::max<std::int64_t>(1, budget / plan.largest) : plan.adapters;
  plan.passes = 2 + std::clamp<std::int64_t>(blocks, 1, ranks);
  return plan;
}

std::string describe(const BankPlan& plan) {
  const bool alike = plan.bytes == plan.adapters * plan.largest;
  std::string text = fmt::format(
      "bank: {} adapters x {}{} = {} in memory; ", plan.adapters, size_text(plan.bytes / plan.adapters),
      alike ? "" : fmt::format(" (at most {})", size_text(plan.largest)), size_text(plan.bytes));
  text += plan.paged() ? fmt::format("bank.memory, {} a rank, holds {} at once: the bank is paged\n",
                                     size_text(plan.budget), plan.resident)
                       : fmt::format("bank.memory, {} a rank, holds them all\n", size_text(plan.budget));
  if (plan.largest > plan.budget)
    text += "bank: one adapter is larger than bank.memory; those in use stay in memory all the same\n";
  text += fmt::format(
      "bank: {} of weights in its files x {} passes (validation, {} for scores, similarity) = {} to read\n",
      size_text(plan.stored_bytes), plan.passes, plan.passes - 2, size_text(plan.bytes_read()));
  return text;
}

std::string size_text(std::int64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib < 1024 ? fmt::format("{:.1f} MiB", mib) : fmt::format("{:.1f} GiB", mib / 1024);
}

}  // namespace rocket
