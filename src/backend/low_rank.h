// Adapters of a bank as a backend takes them.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>

namespace rocket {

/// delta W = scale * B A of one module.
struct LowRank {
  at::Tensor a_RI, b_OR;  // contiguous; undefined: the adapter leaves the module alone
  double scale = 1;

  std::int64_t lora_r() const { return a_RI.size(0); }
};

/// What a backend has made of an adapter's weights on modules that read the same input.
class LowRankInput {
 public:
  virtual ~LowRankInput() = default;
};

/// Rows of a batch that one adapter serves.
struct LowRankSegment {
  std::int64_t first_row = 0, rows = 0;
  const LowRankInput* adapter = nullptr;
};

}  // namespace rocket
