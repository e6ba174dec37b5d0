#include "adapters/bank_delta.h"

namespace rocket {

BankDelta::BankDelta(std::vector<std::shared_ptr<const LoraAdapter>> adapters)
    : adapters_(std::move(adapters)) {
  for (const auto& adapter : adapters_) {
    const auto number = static_cast<std::int64_t>(numbered_.size());
    if (adapter != nullptr && numbers_.try_emplace(adapter.get(), number).second)
      numbered_.push_back(adapter.get());
  }
}

void BankDelta::arrange(const PackedRows& rows) {
  segments_.clear();
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    if (rows.sequences[s] == kNoSequence) continue;
    const LoraAdapter* adapter = adapters_.at(static_cast<std::size_t>(rows.sequences[s])).get();
    if (adapter == nullptr) continue;
    const std::int64_t number = numbers_.at(adapter), first = rows.starts[s];
    const bool goes_on = !segments_.empty() && segments_.back().number == number &&
                         segments_.back().first_row + segments_.back().rows == first;
    if (!goes_on) segments_.push_back({.first_row = first, .number = number});
    segments_.back().rows += rows.length(s);
  }
  served_.emplace(segments_, rows.tokens(), rows.ids_T.device());
}

void BankDelta::add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                    std::span<at::Tensor> outputs_TO) {
  std::vector<LowRankSegment> adapted;
  for (LowRankSegment segment : segments_) {
    segment.adapter = prepared(backend, *numbered_[static_cast<std::size_t>(segment.number)], modules);
    if (segment.adapter != nullptr) adapted.push_back(segment);
  }
  std::unique_ptr<LowRankKept>& kept = kept_[modules.front()];
  const LowRankKept* before = kept.get();
  backend.add_low_rank(x_TI, adapted, *served_, outputs_TO, kept);
  if (kept.get() != before) ++launches_.memory;
  if (kept == nullptr && !adapted.empty()) launches_.fixed = false;
}

const LowRankInput* BankDelta::prepared(const Backend& backend, const LoraAdapter& adapter,
                                        std::span<const std::int64_t> modules) {
  const auto [it, fresh] = prepared_.try_emplace({&adapter, modules.front()});
  if (!fresh) return it->second.get();
  std::vector<LowRank> weights;
  bool any = false;
  for (const std::int64_t module : modules) {
    const LoraWeight* weight = adapter.find(module);
    any = any || weight != nullptr;
    weights.push_back(weight != nullptr ? LowRank{weight->a_RI, weight->b_OR, weight->scale} : LowRank{});
  }
  if (any) it->second = backend.prepare_low_rank(weights);
  return it->second.get();
}

}  // namespace rocket
