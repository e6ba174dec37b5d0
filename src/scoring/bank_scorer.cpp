#include "scoring/bank_scorer.h"

#include <algorithm>
#include <numeric>

#include "adapters/bank_delta.h"
#include "base/error.h"
#include "model/batches.h"

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

std::int64_t example_length(const ShotTokens& shot) {
  return static_cast<std::int64_t>(shot.example.ids.size());
}

/// Runs of items whose examples have at most `rows` rows together.
std::vector<std::span<const Item>> batches_of(std::span<const Item> items, std::span<const ShotTokens> shots,
                                              std::int64_t rows) {
  std::vector<std::span<const Item>> batches;
  for (std::size_t begin = 0, end = 0; begin < items.size(); begin = end) {
    std::int64_t tokens = example_length(shots[items[begin].shot]);
    for (end = begin + 1; end < items.size(); ++end) {
      tokens += example_length(shots[items[end].shot]);
      if (tokens > rows) break;
    }
    batches.push_back(items.subspan(begin, end - begin));
  }
  return batches;
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
  check_shots(shots);
  std::vector<std::vector<double>> nll(adapters.size(), std::vector<double>(shots.size()));
  const auto items = items_by_length(adapters.size(), shots, example_length);
  const DecoderConfig& config = decoder.config();
  const bool threads = side_by_side(config.hidden, config.intermediate, decoder.device());
  const auto batches = batches_of(items, shots, rows_of_batch(batch_tokens, threads));
  for_each_batch(static_cast<std::int64_t>(batches.size()), threads, [&](std::int64_t i) {
    score_batch(decoder, batches[static_cast<std::size_t>(i)], adapters, shots, nll);
  });
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
  const auto served = adapters_of(items, adapters);
  auto generated = generate(
      decoder, prompts, [&] { return std::make_unique<BankDelta>(served); }, options);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    scores[item.adapter][item.shot] = {nll[item.adapter][item.shot], std::move(generated[i])};
  }
  return scores;
}

}  // namespace rocket
