#include "backend/mixture_step.h"

namespace rocket {

void ExpertColumns::add_module(std::span<const std::int64_t> ranks, std::span<const double> scale) {
  for (const std::int64_t r : ranks) first.push_back(first.back() + r);
  scales.insert(scales.end(), scale.begin(), scale.end());
  modules.push_back(modules.back() + static_cast<std::int64_t>(ranks.size()));
}

}  // namespace rocket
