// Counter-based dropout of a layer's input.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "backend/mixture_step.h"
#include "backend/rows.h"

namespace rocket {

/// Dropout that is a function of (seed, step, record, input, position, feature): neither the company in the
/// batch nor the number of ranks changes it. One Philox block decides four neighbouring features.
struct DropoutKey {
  double probability = 0;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::vector<std::int64_t> records;  // of each sequence of the batch
};

class Dropout {
 public:
  explicit Dropout(DropoutKey key);

  bool active() const { return key_.probability > 0; }
  /// Which record and position each row of the coming forward is, and on which device the rows are.
  void arrange(const PackedRows& rows);
  /// Of one input of a forward; `input` tells them apart. Not active where no feature is dropped.
  InputDropout of_input(std::int64_t input) const;

 private:
  DropoutKey key_;
  std::uint64_t philox_key_ = 0;
  at::Tensor upper_T_, lower_T_;  // each row's part of the counter, on the rows' device
};

}  // namespace rocket
