#include "adapters/bank_delta.h"

#include "model/product.h"

namespace rocket {

BankDelta::BankDelta(std::vector<std::shared_ptr<const LoraAdapter>> adapters)
    : adapters_(std::move(adapters)) {
}

void BankDelta::arrange(const PackedRows& rows) {
  segments_.clear();
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    const LoraAdapter* adapter = adapters_.at(static_cast<std::size_t>(rows.sequences[s])).get();
    const std::int64_t first = rows.starts[s], count = rows.starts[s + 1] - first;
    if (!segments_.empty() && segments_.back().adapter == adapter) {
      segments_.back().rows += count;
    } else {
      segments_.push_back({adapter, first, count});
    }
  }
}

void BankDelta::add(const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                    std::span<at::Tensor> outputs_TO) {
  for (const Segment& segment : segments_) {
    if (segment.adapter == nullptr) continue;
    const at::Tensor x = x_TI.narrow(0, segment.first_row, segment.rows);
    for (std::size_t i = 0; i < modules.size(); ++i) {
      const LoraWeight* weight = segment.adapter->find(modules[i]);
      if (weight == nullptr) continue;
      outputs_TO[i]
          .narrow(0, segment.first_row, segment.rows)
          .add_(product(product(x, weight->a_RI), weight->b_OR), /*alpha=*/weight->scale);
    }
  }
}

}  // namespace rocket
