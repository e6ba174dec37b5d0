// Stands in for gpu.cu in builds without CUDA, where no tensor lies on a GPU.
#include "kernels/gpu.h"

namespace rocket {

const bool kGpuKernels = false;

const char* dropout_mask_on_gpu(const GpuDropout&, std::uint8_t*) {
  return "this rocket was built without CUDA";
}

}  // namespace rocket
