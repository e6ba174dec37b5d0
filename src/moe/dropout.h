// Counter-based dropout of a layer's input.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "backend/backend.h"

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
  /// Which of `features` features of each row are kept, on the rows' device. `input` tells the inputs of a
  /// forward apart.
  KeptFeatures kept(const Backend& backend, std::int64_t features, std::int64_t input) const;

 private:
  DropoutKey key_;
  std::uint64_t philox_key_ = 0;
  at::Tensor upper_T_, lower_T_;  // each row's part of the counter, on the rows' device
};

}  // namespace rocket
