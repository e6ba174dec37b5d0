// Counter-based dropout of a layer's input.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "model/rows.h"
#include "moe/mixture_delta.h"

namespace rocket {

class Dropout {
 public:
  explicit Dropout(DropoutKey key);

  bool active() const { return key_.probability > 0; }
  /// Which record and position each row of the coming forward is.
  void arrange(const PackedRows& rows);
  /// x with features zeroed and the others scaled by 1 / (1 - p). `input` tells the inputs of a forward
  /// apart.
  at::Tensor apply(const at::Tensor& x_TI, std::int64_t input) const;

 private:
  at::Tensor mask(std::int64_t features, std::int64_t input) const;

  DropoutKey key_;
  std::uint64_t philox_key_ = 0;
  std::vector<std::uint64_t> record_T_, position_T_;
};

}  // namespace rocket
