// Tensors of a device as operators see them.
#pragma once

#include <ATen/ATen.h>

namespace rocket::emulated {

inline constexpr c10::DeviceType kEmulated = c10::DeviceType::PrivateUse1;

inline bool on_device(const at::Tensor& x) {
  return x.defined() && x.device().type() == kEmulated;
}

/// The same values as a tensor of the CPU, in the same memory, for as long as `x` lives. A tensor of the CPU
/// is its own.
at::Tensor host_view(const at::Tensor& x);

/// A copy on the device of what an operator has computed; the same strides where they leave no gaps. Of a
/// meta tensor: memory of that size.
at::Tensor moved_to_device(const at::Tensor& host, c10::Device device);

}  // namespace rocket::emulated
