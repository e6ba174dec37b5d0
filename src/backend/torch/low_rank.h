// An adapter's weights as LibTorch's operators take them.
#pragma once

#include <vector>

#include "backend/low_rank.h"

namespace rocket {

struct LowRankWeights : LowRankInput {
  std::vector<LowRank> of_modules;
};

}  // namespace rocket
