#include <c10/core/DeviceGuard.h>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/steps.h"

namespace rocket {

at::Tensor CudaBackend::dropout_mask(const DropoutDraw& draw, std::int64_t features) const {
  if (steps_ == nullptr) return TorchBackend::dropout_mask(draw, features);  // the same bits, more slowly
  const at::Device device = draw.upper_T.device();
  const c10::DeviceGuard on_device(device);
  const at::Tensor kept_TI =
      at::empty({draw.upper_T.size(0), features}, at::TensorOptions(at::kByte).device(device));
  require_launch("dropout", steps_->dropout_mask({.draw = gpu_rows(draw, features),
                                                  .kept = kept_TI.mutable_data_ptr<std::uint8_t>()}));
  return kept_TI;
}

}  // namespace rocket
