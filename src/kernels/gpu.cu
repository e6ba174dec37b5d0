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
    return joined(mine, [](float a, float b) { return a + b; });
  }
  __device__ float most(float mine) const {
    return joined(mine, [](float a, float b) { return fmaxf(a, b); });
  }

 private:
  template <class Join>
  __device__ float joined(float mine, const Join& join) const {
    __shared__ float of_warps[kThreads / kWarp];
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
      mine = join(mine, __shfl_down_sync(~0u, mine, distance));
    __syncthreads();  // everybody has read what the call before left here
    if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = mine;
    __syncthreads();
    float all = of_warps[0];
    for (int warp = 1; warp < kThreads / kWarp; ++warp) all = join(all, of_warps[warp]);
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

template <class T>
__global__ void silu_times_backward(GpuSiluTimesBackward a) {
  silu_times_backward_elements<T>(a, GridBlock{});
}

template <class T>
__global__ void rms_norm_backward(GpuRmsNormBackward a) {
  rms_norm_backward_row<T>(a, blockIdx.x, RowBlock{});
}

template <class T>
__global__ void nll(GpuNll a) {
  nll_row<T>(a, blockIdx.x, RowBlock{});
}

__global__ void dropout_mask(GpuDropoutMask a) {
  dropout_elements(a, GridBlock{});
}

template <class T>
__global__ void drop(GpuDrop a) {
  drop_elements<T>(a, GridBlock{});
}

__global__ void three_parts(GpuThreeParts a) {
  three_parts_elements(a, GridBlock{});
}

__global__ void route(GpuRoute a) {
  route_elements(a, GridBlock{});
}

template <class T>
__global__ void gate_ranks(GpuGateRanks a) {
  gate_ranks_elements<T>(a, GridBlock{});
}

template <class T>
__global__ void gate_backward(GpuGateBackward a) {
  gate_backward_elements<T>(a, GridBlock{});
}

template <class Step>
const char* launch(void (*kernel)(Step), const Step& step, std::int64_t blocks) {
  if (blocks == 0) return nullptr;
  kernel<<<static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(GpuStream::now)>>>(step);
  const cudaError_t result = cudaGetLastError();
  return result == cudaSuccess ? nullptr : cudaGetErrorString(result);
}

std::int64_t blocks_for(std::int64_t elements) {
  return std::min(kBlocks, (elements + kThreads - 1) / kThreads);
}

std::int64_t blocks_of_four(const GpuDropoutRows& draw) {
  return blocks_for(draw.rows * ((draw.width + 3) / 4));
}

/// The kernel for a step's type.
#define ROCKET_TYPED(kernel, step) \
  ((step).type == GpuType::f32 ? rocket::kernel<float> : rocket::kernel<GpuBfloat16>)

class CudaSteps final : public GpuSteps {
 public:
  const char* dropout_mask(const GpuDropoutMask& a) const override {
    return launch(rocket::dropout_mask, a, blocks_of_four(a.draw));
  }
  const char* drop(const GpuDrop& a) const override {
    return launch(ROCKET_TYPED(drop, a), a, blocks_of_four(a.draw));
  }
  const char* rms_norm(const GpuRmsNorm& a) const override {
    return launch(ROCKET_TYPED(rms_norm, a), a, a.rows);
  }
  const char* rms_norm_backward(const GpuRmsNormBackward& a) const override {
    return launch(ROCKET_TYPED(rms_norm_backward, a), a, a.rows);
  }
  const char* rotate(const GpuRotation& a) const override {
    return launch(ROCKET_TYPED(rotate, a), a, a.rows);
  }
  const char* silu_times(const GpuSiluTimes& a) const override {
    return launch(ROCKET_TYPED(silu_times, a), a, blocks_for(a.count));
  }
  const char* silu_times_backward(const GpuSiluTimesBackward& a) const override {
    return launch(ROCKET_TYPED(silu_times_backward, a), a, blocks_for(a.count));
  }
  const char* keep_ranks(const GpuKeepRanks& a) const override {
    return launch(ROCKET_TYPED(keep_ranks, a), a, blocks_for(a.rows * a.ranks));
  }
  const char* store_rows(const GpuStoreRows& a) const override {
    return launch(rocket::store_rows, a, a.rows);
  }
  const char* three_parts(const GpuThreeParts& a) const override {
    return launch(rocket::three_parts, a, blocks_for(a.count));
  }
  const char* route(const GpuRoute& a) const override {
    return launch(rocket::route, a, blocks_for(a.rows * a.experts.modules));
  }
  const char* gate_ranks(const GpuGateRanks& a) const override {
    return launch(ROCKET_TYPED(gate_ranks, a), a, blocks_for(a.rows * a.experts.experts()));
  }
  const char* gate_backward(const GpuGateBackward& a) const override {
    return launch(ROCKET_TYPED(gate_backward, a), a, blocks_for(a.rows * a.experts.modules));
  }
  const char* nll(const GpuNll& a) const override { return launch(ROCKET_TYPED(nll, a), a, a.rows); }
};

#undef ROCKET_TYPED

}  // namespace

const GpuSteps* gpu_steps() {
  static const CudaSteps steps;
  return &steps;
}

}  // namespace rocket
