#include <cuda_runtime_api.h>

#include <algorithm>

#include "kernels/gpu.h"
#include "kernels/gpu_steps.h"

namespace rocket {
namespace {

constexpr int kThreads = 256, kWarp = 32;
constexpr std::int64_t kBlocks = 1 << 16;  // beyond that, threads take several elements

/// The threads that compute one row.
struct RowBlock {
  std::int64_t first = threadIdx.x, step = blockDim.x;

  /// Of all threads; each must call it.
  __device__ float sum(float mine) const {
    __shared__ float of_warps[kThreads / kWarp];
    for (int distance = kWarp / 2; distance > 0; distance /= 2) mine += __shfl_down_sync(~0u, mine, distance);
    if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = mine;
    __syncthreads();
    float all = 0;
    for (int warp = 0; warp < kThreads / kWarp; ++warp) all += of_warps[warp];
    return all;
  }
};

/// All threads of the grid, for steps without rows.
struct GridBlock {
  std::int64_t first = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
               step = std::int64_t{gridDim.x} * blockDim.x;
};

template <class T>
__global__ void rms_norm(GpuRmsNorm a) {
  rms_norm_row<T>(a, blockIdx.x, RowBlock{});
}

template <class T>
__global__ void rotate(GpuRotation a) {
  rotate_row<T>(a, blockIdx.x, RowBlock{});
}

__global__ void store_rows(GpuStoreRows a) {
  store_row(a, blockIdx.x, RowBlock{});
}

template <class T>
__global__ void silu_times(GpuSiluTimes a) {
  silu_times_elements<T>(a, GridBlock{});
}

template <class T>
__global__ void keep_ranks(GpuKeepRanks a) {
  keep_ranks_elements<T>(a, GridBlock{});
}

__global__ void dropout_mask(GpuDropout a) {
  dropout_elements(a, GridBlock{});
}

template <class Step>
const char* launch(void (*kernel)(Step), const Step& step, std::int64_t blocks) {
  if (blocks == 0) return nullptr;
  kernel<<<static_cast<unsigned>(blocks), kThreads>>>(step);
  const cudaError_t result = cudaGetLastError();
  return result == cudaSuccess ? nullptr : cudaGetErrorString(result);
}

std::int64_t blocks_for(std::int64_t elements) {
  return std::min(kBlocks, (elements + kThreads - 1) / kThreads);
}

class CudaSteps final : public GpuSteps {
 public:
  const char* dropout_mask(const GpuDropout& a) const override {
    return launch(rocket::dropout_mask, a, blocks_for(a.rows * ((a.width + 3) / 4)));
  }
  const char* rms_norm(const GpuRmsNorm& a) const override {
    return launch(a.type == GpuType::f32 ? rocket::rms_norm<float> : rocket::rms_norm<GpuBfloat16>, a,
                  a.rows);
  }
  const char* rotate(const GpuRotation& a) const override {
    return launch(a.type == GpuType::f32 ? rocket::rotate<float> : rocket::rotate<GpuBfloat16>, a, a.rows);
  }
  const char* silu_times(const GpuSiluTimes& a) const override {
    return launch(a.type == GpuType::f32 ? rocket::silu_times<float> : rocket::silu_times<GpuBfloat16>, a,
                  blocks_for(a.count));
  }
  const char* keep_ranks(const GpuKeepRanks& a) const override {
    return launch(a.type == GpuType::f32 ? rocket::keep_ranks<float> : rocket::keep_ranks<GpuBfloat16>, a,
                  blocks_for(a.rows * a.ranks));
  }
  const char* store_rows(const GpuStoreRows& a) const override {
    return launch(rocket::store_rows, a, a.rows);
  }
};

}  // namespace

const GpuSteps* gpu_steps() {
  static const CudaSteps steps;
  return &steps;
}

}  // namespace rocket
