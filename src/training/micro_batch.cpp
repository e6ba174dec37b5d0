#include "training/micro_batch.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "backend/upload.h"

namespace rocket {
namespace {

std::int64_t rows_of(const Example& example) {
  return static_cast<std::int64_t>(example.ids.size()) - 1;
}

std::int64_t first_predicted(const Example& example) {
  return std::max<std::int64_t>(example.target_begin, 1);
}

template <class Rows>
std::int64_t rows_in(const std::vector<std::int64_t>& bin, const Rows& rows) {
  std::int64_t sum = 0;
  for (const std::int64_t index : bin) sum += rows(index);
  return sum;
}

/// Each of `order` to the emptiest of so many bins, the first of them on a tie.
template <class Rows>
std::vector<std::vector<std::int64_t>> spread(const std::vector<std::int64_t>& order, const Rows& rows,
                                              std::int64_t bins) {
  std::vector<std::vector<std::int64_t>> packed(static_cast<std::size_t>(bins));
  std::set<std::pair<std::int64_t, std::size_t>> by_rows;
  for (std::size_t bin = 0; bin < packed.size(); ++bin) by_rows.insert({0, bin});
  for (const std::int64_t index : order) {
    auto emptiest = by_rows.extract(by_rows.begin());
    packed[emptiest.value().second].push_back(index);
    emptiest.value().first += rows(index);
    by_rows.insert(std::move(emptiest));
  }
  return packed;
}

}  // namespace

std::int64_t predicted_tokens(const Example& example) {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(example.ids.size()) - first_predicted(example));
}

std::vector<std::vector<std::int64_t>> micro_batches(const std::vector<Example>& examples,
                                                     const std::vector<std::int64_t>& batch, int shares,
                                                     std::int64_t max_tokens) {
  const auto rows = [&](std::int64_t index) { return rows_of(examples[static_cast<std::size_t>(index)]); };
  std::vector<std::int64_t> order;
  std::int64_t total = 0;
  for (const std::int64_t index : batch) {
    if (rows(index) > 0) order.push_back(index);
    total += std::max<std::int64_t>(rows(index), 0);
  }
  std::ranges::stable_sort(order, std::greater(), rows);
  const auto count = static_cast<std::int64_t>(order.size());
  if (count == 0) return {};
  const std::int64_t step = std::min<std::int64_t>(shares, count);
  const std::int64_t least = (total + max_tokens - 1) / max_tokens;
  for (std::int64_t bins = (least + step - 1) / step * step; bins < count; bins += step) {
    auto packed = spread(order, rows, bins);
    if (std::ranges::all_of(
            packed, [&](const auto& bin) { return bin.size() == 1 || rows_in(bin, rows) <= max_tokens; }))
      return packed;
  }
  return spread(order, rows, count);
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
  batch.predicting_Q = upload(predicting, device);
  batch.targets_Q = upload(targets, device);
  return batch;
}

}  // namespace rocket
