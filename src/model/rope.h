// Rotary position embedding: cosines and sines of every position, computed once.
#pragma once

#include <ATen/ATen.h>

#include "formats/model_config.h"
#include "model/layers.h"
#include "model/rows.h"

namespace rocket {

/// cos and sin of the rows of a batch, [T, 1, K / 2] in the compute type; instead of bfloat16 on the CPU the
/// same values in float32.
struct Rotation {
  at::Tensor cos, sin;
};

/// `dynamic` frequencies depend on the length of the text: a forward turns the rows of a sequence by those of
/// its own length so far, whatever the other sequences of the batch. This is what transformers does with one
/// sequence a forward, and in a generation each row behind a cache is turned by the length that it ends.
class RopeTable {
 public:
  RopeTable(const DecoderConfig& config, const WeightPlace& place);
  Rotation rows(const PackedRows& rows) const;

 private:
  Rotation rows_by_length(const PackedRows& rows, const at::Tensor& positions_T) const;

  RopeConfig rope_;
  std::int64_t head_dim_;
  WeightPlace place_;
  at::Tensor cos_PK, sin_PK;  // [positions, K / 2]
};

/// x [T, H, K] turned by half rotation: the pairs are (i, i + K / 2), as in transformers.
/// May use the memory of x, which nobody else must hold.
at::Tensor rotate(at::Tensor x_THK, const Rotation& rotation);

}  // namespace rocket
