#include <cuda_runtime_api.h>

#include <algorithm>

#include "base/random.h"
#include "kernels/gpu.h"

namespace rocket {

const bool kGpuKernels = true;

namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kBlocks = 1 << 16;  // beyond that, threads take several blocks of features

/// One thread, one Philox block, four neighbouring features.
__global__ void dropout_mask(GpuDropout d, std::uint8_t* kept) {
  const std::int64_t blocks = (d.width + 3) / 4, step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < d.rows * blocks; i += step) {
    const std::int64_t row = i / blocks, block = i % blocks;
    const auto words = philox(d.key, static_cast<std::uint64_t>(d.upper[row]) | d.input,
                              static_cast<std::uint64_t>(d.lower[row] + block));
    for (int j = 0; j < 4 && 4 * block + j < d.width; ++j)
      kept[row * d.width + 4 * block + j] = words[j] >= d.threshold;
  }
}

}  // namespace

const char* dropout_mask_on_gpu(const GpuDropout& dropout, std::uint8_t* kept) {
  const std::int64_t threads = dropout.rows * ((dropout.width + 3) / 4);
  if (threads == 0) return nullptr;
  const auto blocks = static_cast<unsigned>(std::min(kBlocks, (threads + kThreads - 1) / kThreads));
  dropout_mask<<<blocks, kThreads>>>(dropout, kept);
  const cudaError_t result = cudaGetLastError();
  return result == cudaSuccess ? nullptr : cudaGetErrorString(result);
}

}  // namespace rocket
