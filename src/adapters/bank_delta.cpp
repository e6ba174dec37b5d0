#include "adapters/bank_delta.h"

namespace rocket {

BankDelta::BankDelta(std::vector<std::shared_ptr<const LoraAdapter>> adapters)
    : adapters_(std::move(adapters)) {
  for (const auto& adapter : adapters_)
    numbers_.try_emplace(adapter.get(), static_cast<std::int64_t>(numbers_.size()));
}

void BankDelta::arrange(const PackedRows& rows) {
  segments_.clear();
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    const LoraAdapter* adapter = adapters_.at(static_cast<std::size_t>(rows.sequences[s])).get();
    const std::int64_t first = rows.starts[s], count = rows.starts[s + 1] - first;
    if (!segments_.empty() && segments_.back().adapter == adapter) {
      segments_.back().rows += count;
    } else {
      segments_.push_back({adapter, first, count, numbers_.at(adapter)});
    }
  }
  std::vector<LowRankSegment> served;
  for (const Segment& s : segments_) {
    if (s.adapter != nullptr) served.push_back({s.first_row, s.rows, nullptr, s.number});
  }
  served_.emplace(std::move(served), rows.tokens(), rows.ids_T.device());
}

void BankDelta::add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                    std::span<at::Tensor> outputs_TO) {
  std::vector<LowRankSegment> adapted;
  for (const Segment& s : segments_) {
    const LowRankInput* input = s.adapter != nullptr ? prepared(backend, *s.adapter, modules) : nullptr;
    if (input != nullptr) adapted.push_back({s.first_row, s.rows, input, s.number});
  }
  backend.add_low_rank(x_TI, adapted, *served_, outputs_TO, kept_[modules.front()]);
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
