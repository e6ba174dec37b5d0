// What is known of one update, and what a row of them tells.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace rocket {

/// One update, as it is logged and stored.
struct StepLog {
  std::int64_t step = 0, epoch = 0;  // step from 1, epoch from 0
  double loss = 0, learning_rate = 0, gradient_norm = 0;
  std::int64_t target_tokens = 0;
  double seconds = 0;
  std::vector<float> expert_load;  // [W * N] share of choices, rows sum to 1

  // Logged, not stored.
  double padding = 0;                    // share of the computed rows that are no token of an example
  double load_entropy = 0;               // see load_entropy()
  std::int64_t memory_bytes = 0;         // the most that was resident in root's memory so far
  std::int64_t device_memory_bytes = 0;  // and in that of its GPU; 0 on the CPU
};

/// Entropy of the load of each adapted weight over that of an even load on those of its experts that can be
/// chosen at all, averaged over the weights with more than one: 1 = even, 0 = one expert takes all. `load`:
/// [W * N]; `experts` of each weight [W]. 0 where no weight has a choice.
double load_entropy(std::span<const float> load, std::span<const std::int64_t> experts);

/// How many standard deviations `loss` lies above the mean of the last 128 losses of the log; nothing before
/// there are 32, or where they do not differ.
std::optional<double> spike_score(std::span<const StepLog> log, double loss);

}  // namespace rocket
