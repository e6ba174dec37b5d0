#include "scoring/bank_scorer.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

#include "adapters/bank_delta.h"
#include "base/error.h"

namespace rocket {
namespace {

using Adapters = std::span<const std::shared_ptr<const LoraAdapter>>;

/// One sequence to be computed: an adapter on a shot.
struct Item {
  std::size_t adapter = 0, shot = 0;
};

/// By adapter, then by `length` of the shot: an adapter's rows lie side by side, and so do equal lengths.
template <class Length>
std::vector<Item> items_by_length(std::size_t adapters, std::span<const ShotTokens> shots, Length length) {
  std::vector<std::size_t> order(shots.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return length(shots[a]) < length(shots[b]); });
  std::vector<Item> items;
  for (std::size_t a = 0; a < adapters; ++a) {
    for (const std::size_t s : order) items.push_back({a, s});
  }
  return items;
}

std::vector<std::shared_ptr<const LoraAdapter>> adapters_of(std::span<const Item> items, Adapters adapters) {
  std::vector<std::shared_ptr<const LoraAdapter>> result;
  for (const Item& item : items) result.push_back(adapters[item.adapter]);
  return result;
}

/// The first id of a sequence has no row that predicts it.
std::int64_t first_predicted(const Example& example) {
  return std::max<std::int64_t>(1, example.target_begin);
}

/// The rows of a batch that predict targets, and what they predict.
struct TargetRows {
  std::vector<std::int64_t> rows, targets;
  std::vector<std::int64_t> counts;  // by sequence

  void add(const Example& example, std::int64_t first_row) {
    const auto size = static_cast<std::int64_t>(example.ids.size());
    for (std::int64_t i = first_predicted(example); i < size; ++i) {
      rows.push_back(first_row + i - 1);
      targets.push_back(example.ids[static_cast<std::size_t>(i)]);
    }
    counts.push_back(std::max<std::int64_t>(0, size - first_predicted(example)));
  }
};

/// Mean nll of each sequence of the batch, written to nll[adapter][shot].
void score_batch(const Decoder& decoder, std::span<const Item> items, Adapters adapters,
                 std::span<const ShotTokens> shots, std::vector<std::vector<double>>& nll) {
  std::vector<std::vector<TokenId>> sequences;
  for (const Item& item : items) sequences.push_back(shots[item.shot].example.ids);
  const PackedRows rows = pack(sequences, decoder.device());
  TargetRows targets;
  for (std::size_t i = 0; i < items.size(); ++i) targets.add(shots[items[i].shot].example, rows.starts[i]);
  BankDelta delta(adapters_of(items, adapters));
  const auto index = [&](const std::vector<std::int64_t>& values) {
    return at::tensor(values, at::kLong).to(decoder.device());
  };
  const at::Tensor hidden = decoder.hidden(rows, &delta).index_select(0, index(targets.rows));
  const at::Tensor nll_T = decoder.nll(hidden, index(targets.targets)).cpu();
  const float* value = nll_T.const_data_ptr<float>();
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::int64_t count = targets.counts[i];
    nll[items[i].adapter][items[i].shot] =
        std::accumulate(value, value + count, 0.0) / static_cast<double>(count);
    value += count;
  }
}

void check_shots(std::span<const ShotTokens> shots) {
  for (std::size_t s = 0; s < shots.size(); ++s) {
    if (static_cast<std::int64_t>(shots[s].example.ids.size()) <= first_predicted(shots[s].example)) {
      fail_data("shot {} has no target token that the model could predict", s);
    }
  }
}

}  // namespace

std::vector<std::vector<double>> nll_block(const Decoder& decoder, Adapters adapters,
                                           std::span<const ShotTokens> shots, std::int64_t batch_tokens) {
  const c10::InferenceMode inference;
  check_shots(shots);
  std::vector<std::vector<double>> nll(adapters.size(), std::vector<double>(shots.size()));
  const auto length = [](const ShotTokens& shot) { return shot.example.ids.size(); };
  const std::vector<Item> items = items_by_length(adapters.size(), shots, length);
  const std::span<const Item> all(items);
  for (std::size_t begin = 0; begin < items.size();) {
    std::size_t end = begin;
    std::int64_t tokens = 0;
    while (end < items.size()) {
      tokens += static_cast<std::int64_t>(length(shots[items[end].shot]));
      if (end > begin && tokens > batch_tokens) break;
      ++end;
    }
    score_batch(decoder, all.subspan(begin, end - begin), adapters, shots, nll);
    begin = end;
  }
  return nll;
}

std::vector<std::vector<ShotScore>> score_block(const Decoder& decoder, Adapters adapters,
                                                std::span<const ShotTokens> shots,
                                                const GenerateOptions& options) {
  std::vector<std::vector<ShotScore>> scores(adapters.size(), std::vector<ShotScore>(shots.size()));
  const auto nll = nll_block(decoder, adapters, shots, options.batch_tokens);
  const auto items =
      items_by_length(adapters.size(), shots, [](const ShotTokens& shot) { return shot.prompt.size(); });
  std::vector<std::vector<TokenId>> prompts;
  for (const Item& item : items) prompts.push_back(shots[item.shot].prompt);
  BankDelta delta(adapters_of(items, adapters));
  auto generated = generate(decoder, prompts, &delta, options);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    scores[item.adapter][item.shot] = {nll[item.adapter][item.shot], std::move(generated[i])};
  }
  return scores;
}

}  // namespace rocket
