#include <c10/core/DeviceGuard.h>

#include "backend/cuda/cuda_backend.h"
#include "base/error.h"
#include "kernels/gpu.h"

namespace rocket {

at::Tensor CudaBackend::dropout_mask(const DropoutDraw& draw, std::int64_t features) const {
  if (!kGpuKernels) return TorchBackend::dropout_mask(draw, features);  // the same bits, more slowly
  const at::Device device = draw.upper_T.device();
  const c10::DeviceGuard on_device(device);
  at::Tensor kept_TI =
      at::empty({draw.upper_T.size(0), features}, at::TensorOptions(at::kByte).device(device));
  const char* problem = dropout_mask_on_gpu(
      {draw.upper_T.const_data_ptr<std::int64_t>(), draw.lower_T.const_data_ptr<std::int64_t>(),
       kept_TI.size(0), features, draw.key, draw.input, draw.threshold},
      kept_TI.mutable_data_ptr<std::uint8_t>());
  if (problem != nullptr) fail_internal("dropout on the GPU: {}", problem);
  return kept_TI;
}

}  // namespace rocket
