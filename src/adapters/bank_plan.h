// What scoring a bank takes, from the sizes of its adapters alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/bank.h"

namespace rocket {

struct BankPlan {
  std::int64_t adapters = 0;
  std::int64_t bytes = 0, largest = 0;  // in memory, in the compute type
  std::int64_t stored_bytes = 0;        // of the weights in the files
  std::int64_t budget = 0;              // bank.memory
  std::int64_t resident = 0;            // adapters in memory at once, at least
  std::int64_t passes = 0;              // how often all files are read by all ranks together
  std::int64_t bytes_read() const { return passes * stored_bytes; }
  bool paged() const { return bytes > budget; }
};

/// `blocks` are the units that one adapter's shots are cut into: they may fall to so many ranks, each of
/// which reads the adapter. To that come one pass that validates the bank and one for the similarities.
BankPlan plan_bank(const std::vector<AdapterFacts>& adapters, std::int64_t budget, std::int64_t ranks,
                   std::int64_t blocks);

/// The plan with its arithmetic, in lines.
std::string describe(const BankPlan& plan);

/// "79.7 MiB"
std::string size_text(std::int64_t bytes);

}  // namespace rocket
