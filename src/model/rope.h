// Rotary position embedding: cosines and sines of every position, computed once.
#pragma once

#include <ATen/ATen.h>

#include "backend/backend.h"
#include "formats/model_config.h"
#include "model/weights.h"

namespace rocket {

/// `dynamic` and `longrope` frequencies depend on the length of the text: a forward turns the rows of a
/// sequence by those of its own length so far, whatever the other sequences of the batch. This is what
/// transformers does with one sequence a forward, and in a generation each row behind a cache is turned by
/// the length that it ends.
class RopeTable {
 public:
  /// For heads of this width and texts of at most so many positions.
  RopeTable(std::int64_t head_dim, std::int64_t max_positions, const RopeConfig& rope,
            const WeightPlace& place, const Backend& backend);
  Rotation rows(const PackedRows& rows) const;

 private:
  Rotation rows_by_length(const PackedRows& rows, const at::Tensor& positions_T) const;

  at::Tensor values(const at::Tensor& x) const;

  RopeConfig rope_;
  std::int64_t width_;  // values of a head that turn
  WeightPlace place_;
  const Backend& backend_;
  at::Tensor cos_PK, sin_PK;  // [positions, width / 2]
};

}  // namespace rocket
