#include "training/micro_batch.h"

#include <algorithm>

namespace rocket {
namespace {

std::int64_t rows_of(const Example& example) {
  return static_cast<std::int64_t>(example.ids.size()) - 1;
}

std::int64_t first_predicted(const Example& example) {
  return std::max<std::int64_t>(example.target_begin, 1);
}

}  // namespace

std::int64_t predicted_tokens(const Example& example) {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(example.ids.size()) - first_predicted(example));
}

std::vector<std::vector<std::int64_t>> micro_batches(const std::vector<Example>& examples,
                                                     const std::vector<std::int64_t>& batch, int rank,
                                                     int ranks, std::int64_t max_tokens) {
  const auto rows = [&](std::int64_t index) { return rows_of(examples[static_cast<std::size_t>(index)]); };
  std::vector<std::int64_t> mine;
  for (auto i = static_cast<std::size_t>(rank); i < batch.size(); i += static_cast<std::size_t>(ranks)) {
    if (rows(batch[i]) > 0) mine.push_back(batch[i]);
  }
  std::ranges::stable_sort(mine, {}, rows);
  std::vector<std::vector<std::int64_t>> result;
  std::int64_t filled = 0;
  for (const std::int64_t index : mine) {
    if (result.empty() || filled + rows(index) > max_tokens) {
      result.emplace_back();
      filled = 0;
    }
    result.back().push_back(index);
    filled += rows(index);
  }
  return result;
}

MicroBatch lay_out(const std::vector<Example>& examples, const std::vector<std::int64_t>& chosen,
                   at::Device device) {
  MicroBatch batch{.records = chosen};
  std::vector<std::vector<TokenId>> sequences;
  std::vector<std::int64_t> predicting, targets;
  std::int64_t start = 0;
  for (const std::int64_t index : chosen) {
    const Example& example = examples[static_cast<std::size_t>(index)];
    sequences.emplace_back(example.ids.begin(), example.ids.end() - 1);
    for (std::int64_t i = first_predicted(example); i < static_cast<std::int64_t>(example.ids.size()); ++i) {
      predicting.push_back(start + i - 1);
      targets.push_back(example.ids[static_cast<std::size_t>(i)]);
    }
    start += rows_of(example);
  }
  batch.rows = pack(sequences, device);
  batch.predicting_Q = at::tensor(predicting, at::kLong).to(device);
  batch.targets_Q = at::tensor(targets, at::kLong).to(device);
  return batch;
}

}  // namespace rocket
