#include "backend/torch/low_rank.h"

#include <memory>

#include "backend/torch/torch_backend.h"

namespace rocket {

std::unique_ptr<const LowRankInput> TorchBackend::prepare_low_rank(
    std::span<const LowRank> of_modules) const {
  auto weights = std::make_unique<LowRankWeights>();
  weights->of_modules.assign(of_modules.begin(), of_modules.end());
  return weights;
}

void TorchBackend::add_low_rank(const at::Tensor& x_TI, std::span<const LowRankSegment> segments,
                                const ServedRows& /*served*/, std::span<at::Tensor> outputs_TO,
                                std::unique_ptr<LowRankKept>& /*kept*/) const {
  for (const LowRankSegment& s : segments) {
    const auto& weights = static_cast<const LowRankWeights&>(*s.adapter).of_modules;
    const at::Tensor x = x_TI.narrow(0, s.first_row, s.rows);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const LowRank& w = weights[i];
      if (!w.a_RI.defined()) continue;
      outputs_TO[i].narrow(0, s.first_row, s.rows).add_(at::mm(at::mm(x, w.a_RI.t()), w.b_OR.t()), w.scale);
    }
  }
}

}  // namespace rocket
