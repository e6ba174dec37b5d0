#include "device/host_view.h"

#include <c10/core/DeviceGuard.h>

#include "device/memory.h"

namespace rocket::emulated {

at::Tensor host_view(const at::Tensor& x) {
  if (!on_device(x)) return x;
  const auto options = x.options().device(at::kCPU);
  if (x.numel() == 0) return at::empty_strided(x.sizes(), x.strides(), options);
  return at::from_blob(for_operators(x.const_data_ptr()), x.sizes(), x.strides(), options);
}

at::Tensor moved_to_device(const at::Tensor& host, c10::Device device) {
  if (!host.defined()) return host;
  const auto options = host.options().device(device);
  const bool dense = host.is_non_overlapping_and_dense();
  at::Tensor moved =
      dense ? at::empty_strided(host.sizes(), host.strides(), options) : at::empty(host.sizes(), options);
  if (host.numel() > 0 && !host.is_meta()) host_view(moved).copy_(host);
  return moved;
}

}  // namespace rocket::emulated
