#include "backend/mixture_step.h"

namespace rocket {

void ExpertColumns::add_module(std::span<const std::int64_t> ranks, std::span<const double> scale) {
  for (const std::int64_t r : ranks) first.push_back(first.back() + r);
  scales.insert(scales.end(), scale.begin(), scale.end());
  modules.push_back(modules.back() + static_cast<std::int64_t>(ranks.size()));
}

at::Tensor LossGradients::dp(const ExpertColumns& columns, std::int64_t tokens) const {
  if (!choices_N.defined()) return {};
  const at::Tensor all = choices_N.to(at::kDouble);
  std::vector<at::Tensor> dp;
  for (std::int64_t m = 0; m < columns.module_count(); ++m) {
    const at::Tensor of_m = columns.of_module(all, m), share = of_m / of_m.sum().clamp_min(1);
    dp.push_back(share *
                 (balance * static_cast<double>(columns.experts_of(m)) / static_cast<double>(tokens)));
  }
  return at::cat(dp);
}

}  // namespace rocket
