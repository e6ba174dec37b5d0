#include "model/generate.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "model/batches.h"
#include "model/kv_cache.h"

namespace rocket {
namespace {

/// Finished rows stay in the batch until this share of it is theirs: leaving costs a copy of the cache.
constexpr std::size_t kFinishedShare = 8;

/// A sequence under way.
struct Row {
  std::int64_t prompt = 0;    // index of the caller
  std::int64_t position = 0;  // rows in the cache
  std::int64_t limit = 0;     // new ids at most
  std::int64_t next = 0;      // the id to feed
  bool finished = false;
};

class BatchGenerator {
 public:
  BatchGenerator(const Decoder& decoder, LinearDelta* delta, const GenerateOptions& options,
                 std::vector<std::vector<TokenId>>& outputs)
      : decoder_(decoder),
        delta_(delta),
        stop_ids_(options.stop_ids.begin(), options.stop_ids.end()),
        outputs_(outputs) {}

  void run(std::span<const std::vector<TokenId>> prompts, std::vector<Row> rows) {
    rows_ = std::move(rows);
    cache_ = KvCache();
    at::Tensor hidden_SD = read_prompts(prompts);
    while (true) {
      take(at::argmax(decoder_.logits(hidden_SD), -1).cpu());
      drop_finished();
      if (rows_.empty()) return;
      hidden_SD = decoder_.hidden(next_rows(), delta_, &cache_);
    }
  }

 private:
  /// Hidden states of the prompts' last tokens.
  at::Tensor read_prompts(std::span<const std::vector<TokenId>> prompts) {
    std::vector<std::vector<TokenId>> sequences;
    for (Row& row : rows_) {
      sequences.push_back(prompts[static_cast<std::size_t>(row.prompt)]);
      row.position = static_cast<std::int64_t>(sequences.back().size());
    }
    PackedRows packed = pack(sequences, decoder_.device());
    std::vector<std::int64_t> last;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      packed.sequences[i] = rows_[i].prompt;
      last.push_back(packed.starts[i + 1] - 1);
    }
    return decoder_.hidden(packed, delta_, &cache_)
        .index_select(0, at::tensor(last, at::kLong).to(decoder_.device()));
  }

  void take(const at::Tensor& ids_S) {
    const auto* ids = ids_S.const_data_ptr<std::int64_t>();
    for (Row& row : rows_) {
      row.next = *ids++;
      if (row.finished) continue;
      auto& output = outputs_[static_cast<std::size_t>(row.prompt)];
      row.finished = stop_ids_.contains(static_cast<TokenId>(row.next));
      if (!row.finished) output.push_back(static_cast<TokenId>(row.next));
      row.finished |= static_cast<std::int64_t>(output.size()) == row.limit;
    }
  }

  void drop_finished() {
    const auto finished = static_cast<std::size_t>(std::ranges::count_if(rows_, &Row::finished));
    const bool full = std::ranges::any_of(
        rows_, [&](const Row& row) { return row.position >= decoder_.config().max_positions; });
    if (finished == 0 || (finished < rows_.size() && finished * kFinishedShare < rows_.size() && !full))
      return;
    std::erase_if(rows_, [](const Row& row) { return row.finished; });
    std::vector<std::int64_t> kept;
    for (const Row& row : rows_) kept.push_back(row.prompt);
    if (!rows_.empty()) cache_.keep(kept);
  }

  /// One row a sequence: the id that it chose last.
  PackedRows next_rows() {
    PackedRows packed;
    std::vector<std::int64_t> ids, positions;
    packed.starts.push_back(0);
    for (Row& row : rows_) {
      ids.push_back(row.next);
      positions.push_back(row.position++);
      packed.sequences.push_back(row.prompt);
      packed.starts.push_back(static_cast<std::int64_t>(ids.size()));
    }
    packed.ids_T = at::tensor(ids, at::kLong).to(decoder_.device());
    packed.positions_T = at::tensor(positions, at::kLong).to(decoder_.device());
    return packed;
  }

  const Decoder& decoder_;
  LinearDelta* delta_;
  std::unordered_set<TokenId> stop_ids_;
  std::vector<std::vector<TokenId>>& outputs_;
  std::vector<Row> rows_;
  KvCache cache_;
};

/// New ids that a prompt may get.
std::int64_t room(const std::vector<TokenId>& prompt, const DecoderConfig& config,
                  const GenerateOptions& options) {
  return std::min(options.max_new_tokens, config.max_positions - static_cast<std::int64_t>(prompt.size()));
}

/// The rows of each batch: prompts in the order given, at most batch_tokens rows x final length.
std::vector<std::vector<Row>> batches_of(const DecoderConfig& config,
                                         std::span<const std::vector<TokenId>> prompts,
                                         const GenerateOptions& options) {
  std::vector<std::vector<Row>> batches;
  std::int64_t longest = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].empty()) fail_data("prompt {} has no tokens: nothing to continue", i);
    const std::int64_t limit = room(prompts[i], config, options);
    if (limit <= 0) continue;
    const std::int64_t length = static_cast<std::int64_t>(prompts[i].size()) + limit;
    longest = std::max(longest, length);
    if (batches.empty() ||
        longest * static_cast<std::int64_t>(batches.back().size() + 1) > options.batch_tokens) {
      batches.emplace_back();
      longest = length;
    }
    batches.back().push_back({static_cast<std::int64_t>(i), 0, limit});
  }
  return batches;
}

}  // namespace

std::vector<std::vector<TokenId>> generate(const Decoder& decoder,
                                           std::span<const std::vector<TokenId>> prompts, LinearDelta* delta,
                                           const GenerateOptions& options) {
  const c10::InferenceMode inference;
  std::vector<std::vector<TokenId>> outputs(prompts.size());
  BatchGenerator generator(decoder, delta, options, outputs);
  for (auto& rows : batches_of(decoder.config(), prompts, options)) generator.run(prompts, std::move(rows));
  return outputs;
}

std::vector<std::vector<TokenId>> generate(const Decoder& decoder,
                                           std::span<const std::vector<TokenId>> prompts,
                                           const MakeDelta& make_delta, const GenerateOptions& options) {
  const DecoderConfig& config = decoder.config();
  std::vector<std::vector<TokenId>> outputs(prompts.size());
  auto batches = batches_of(config, prompts, options);
  for_each_batch(static_cast<std::int64_t>(batches.size()),
                 side_by_side(config.hidden, config.intermediate, decoder.device()), [&](std::int64_t i) {
                   const auto delta = make_delta();
                   BatchGenerator generator(decoder, delta.get(), options, outputs);
                   generator.run(prompts, std::move(batches[static_cast<std::size_t>(i)]));
                 });
  return outputs;
}

}  // namespace rocket
