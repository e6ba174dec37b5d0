#include "backend/upload.h"

namespace rocket {

at::Tensor upload(const at::Tensor& values, at::Device device) {
  if (device.is_cpu()) return values;
  return at::empty(values.sizes(), values.options().pinned_memory(true))
      .copy_(values)
      .to(device, /*non_blocking=*/true);
}

at::Tensor upload(std::span<const std::int64_t> values, at::Device device) {
  return upload(at::tensor(at::ArrayRef<std::int64_t>(values.data(), values.size()), at::kLong), device);
}

}  // namespace rocket
