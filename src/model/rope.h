// Rotary position embedding: cosines and sines of every position, computed once.
#pragma once

#include <ATen/ATen.h>

#include "formats/model_config.h"
#include "model/layers.h"

namespace rocket {

/// cos and sin of the rows of a batch, [T, 1, K / 2] in the compute type.
struct Rotation {
  at::Tensor cos, sin;
};

class RopeTable {
 public:
  RopeTable(const DecoderConfig& config, const WeightPlace& place);
  Rotation rows(const at::Tensor& positions_T) const;

 private:
  at::Tensor cos_PK, sin_PK;  // [positions, K / 2]
};

/// x [T, H, K] turned by half rotation: the pairs are (i, i + K / 2), as in transformers.
at::Tensor rotate(const at::Tensor& x_THK, const Rotation& rotation);

}  // namespace rocket
