#include <c10/core/DeviceGuard.h>

#include <array>
#include <utility>

#include "backend/backward.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/steps.h"

namespace rocket {

at::Tensor CudaBackend::rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const {
  if (steps_ == nullptr || needs_gradient(x_TD) || !steps_take({x_TD, weight_D}))
    return TorchBackend::rms_norm(x_TD, weight_D, eps);
  const c10::DeviceGuard on_device(x_TD.device());
  const at::Tensor y_TD = at::empty_like(x_TD);
  require_launch("the norm", steps_->rms_norm({.x = x_TD.const_data_ptr(),
                                               .weight = weight_D.const_data_ptr(),
                                               .y = y_TD.mutable_data_ptr(),
                                               .rows = x_TD.size(0),
                                               .width = x_TD.size(1),
                                               .eps = static_cast<float>(eps),
                                               .type = gpu_type(x_TD)}));
  return y_TD;
}

std::array<at::Tensor, 2> CudaBackend::add_rms_norm(at::Tensor x_TD, const at::Tensor& y_TD,
                                                    const at::Tensor& weight_D, double eps) const {
  if (steps_ == nullptr || needs_gradient(std::array{x_TD, y_TD}) || !steps_take({x_TD, y_TD, weight_D}))
    return TorchBackend::add_rms_norm(std::move(x_TD), y_TD, weight_D, eps);
  const c10::DeviceGuard on_device(x_TD.device());
  at::Tensor normed_TD = at::empty_like(x_TD);
  require_launch("the norm of a sum", steps_->rms_norm({.x = x_TD.const_data_ptr(),
                                                        .add = y_TD.const_data_ptr(),
                                                        .weight = weight_D.const_data_ptr(),
                                                        .sum = x_TD.mutable_data_ptr(),
                                                        .y = normed_TD.mutable_data_ptr(),
                                                        .rows = x_TD.size(0),
                                                        .width = x_TD.size(1),
                                                        .eps = static_cast<float>(eps),
                                                        .type = gpu_type(x_TD)}));
  return {std::move(x_TD), std::move(normed_TD)};
}

at::Tensor CudaBackend::rotate(at::Tensor x_THK, const Rotation& rotation) const {
  if (steps_ == nullptr || needs_gradient(x_THK) || !steps_take({x_THK, rotation.cos, rotation.sin}))
    return TorchBackend::rotate(std::move(x_THK), rotation);
  const c10::DeviceGuard on_device(x_THK.device());
  require_launch("the rotation", steps_->rotate({.x = x_THK.mutable_data_ptr(),
                                                 .cos = rotation.cos.const_data_ptr(),
                                                 .sin = rotation.sin.const_data_ptr(),
                                                 .rows = x_THK.size(0),
                                                 .heads = x_THK.size(1),
                                                 .width = x_THK.size(2),
                                                 .type = gpu_type(x_THK)}));
  return x_THK;
}

at::Tensor CudaBackend::silu_times(at::Tensor gate_TI, const at::Tensor& up_TI) const {
  if (steps_ == nullptr || needs_gradient(std::array{gate_TI, up_TI}) || !steps_take({gate_TI, up_TI}))
    return TorchBackend::silu_times(std::move(gate_TI), up_TI);
  const c10::DeviceGuard on_device(gate_TI.device());
  require_launch("the activation", steps_->silu_times({.gate = gate_TI.const_data_ptr(),
                                                       .up = up_TI.const_data_ptr(),
                                                       .y = gate_TI.mutable_data_ptr(),
                                                       .count = gate_TI.numel(),
                                                       .type = gpu_type(gate_TI)}));
  return gate_TI;
}

}  // namespace rocket
