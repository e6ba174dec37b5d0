#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/random.h"
#include "training/trainer.h"

namespace rocket {

double learning_rate_at(const TrainingOptions& options, std::int64_t step, std::int64_t steps) {
  const auto warmup = static_cast<std::int64_t>(std::ceil(options.warmup * static_cast<double>(steps)));
  if (step <= warmup) return options.learning_rate * static_cast<double>(step) / static_cast<double>(warmup);
  const double done = static_cast<double>(step - 1 - warmup) / static_cast<double>(steps - warmup);
  switch (options.schedule) {
    case Schedule::cosine:
      return options.learning_rate / 2 * (1 + std::cos(std::numbers::pi * done));
    case Schedule::linear:
      return options.learning_rate * (1 - done);
    case Schedule::constant:
      return options.learning_rate;
  }
  return options.learning_rate;
}

std::vector<std::vector<std::int64_t>> global_batches(std::int64_t examples, const TrainingOptions& options) {
  std::vector<std::vector<std::int64_t>> batches;
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const std::vector<std::int64_t> order =
        permutation(examples, options.seed, stream("training epoch " + std::to_string(epoch)));
    for (auto begin = order.begin(); begin != order.end();) {
      const auto end = begin + std::min(options.global_batch, order.end() - begin);
      batches.emplace_back(begin, end);
      begin = end;
    }
  }
  return batches;
}

std::vector<Example> apply_cutoff(std::vector<Example> examples, std::int64_t cutoff, CutoffCount& count) {
  std::vector<Example> kept;
  for (Example& example : examples) {
    if (static_cast<std::int64_t>(example.ids.size()) > cutoff) {
      if (example.target_begin >= cutoff) {
        count.dropped.push_back(example.record);
        continue;
      }
      example.ids.resize(static_cast<std::size_t>(cutoff));
      ++count.truncated;
    }
    kept.push_back(std::move(example));
  }
  return kept;
}

}  // namespace rocket
