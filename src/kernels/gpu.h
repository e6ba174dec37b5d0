// What the GPU computes and LibTorch has no operator for, on the device's default stream. A stub where rocket
// is built without CUDA.
#pragma once

#include <cstdint>

namespace rocket {

/// Whether this program was built with the CUDA tool kit; else the functions below only refuse.
extern const bool kGpuKernels;

/// Rows whose features are dropped; the arrays lie in the GPU's memory. Row t is the DropoutRow with the
/// upper counter `upper[t] | input` and the lower one `lower[t]`.
struct GpuDropout {
  const std::int64_t *upper = nullptr, *lower = nullptr;  // [rows]
  std::int64_t rows = 0, width = 0;
  std::uint64_t key = 0, input = 0;
  std::uint32_t threshold = 0;
};

/// kept [rows, width]: the bits of Kernels::dropout_mask. Returns why CUDA refuses, null where it does not.
const char* dropout_mask_on_gpu(const GpuDropout& dropout, std::uint8_t* kept);

}  // namespace rocket
