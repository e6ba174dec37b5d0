// Adapters of a bank as a backend takes them.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <span>

#include "backend/rows.h"

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
  std::int64_t number = 0;  // of the adapter; the same in each batch
};

/// Who serves the rows of a batch, for backends that take all adapters at once.
class ServedRows {
 public:
  /// `segments` need no adapter here.
  ServedRows(std::span<const LowRankSegment> segments, std::int64_t rows, at::Device device);
  /// The number of each row's adapter, int32 [T]; -1: none. Undefined on the CPU, where nobody asks.
  const at::Tensor& number_T() const { return number_T_; }

 private:
  at::Tensor number_T_;
};

/// What a backend keeps between calls on the same modules.
class LowRankKept {
 public:
  virtual ~LowRankKept() = default;
};

}  // namespace rocket
