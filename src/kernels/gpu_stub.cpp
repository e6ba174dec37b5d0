// Stands in for gpu.cu in builds without the CUDA tool kit.
#include "kernels/gpu.h"

namespace rocket {

const GpuSteps* gpu_steps() {
  return nullptr;
}

}  // namespace rocket
