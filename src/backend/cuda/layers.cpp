#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <array>
#include <utility>

#include "backend/backward.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/steps.h"

namespace rocket {

namespace {

/// Nothing where the undefined tensor stands for zeros.
const void* data_or_null(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr() : nullptr;
}

}  // namespace

at::Tensor CudaBackend::rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const {
  if (steps_ == nullptr || !steps_take({x_TD, weight_D})) return TorchBackend::rms_norm(x_TD, weight_D, eps);
  const c10::DeviceGuard on_device(x_TD.device());
  const at::Tensor x = x_TD.detach();
  std::array<at::Tensor, 1> y_TD{at::empty_like(x)};
  require_launch("the norm", steps_->rms_norm({.x = x.const_data_ptr(),
                                               .weight = weight_D.const_data_ptr(),
                                               .y = y_TD[0].mutable_data_ptr(),
                                               .rows = x.size(0),
                                               .width = x.size(1),
                                               .eps = static_cast<float>(eps),
                                               .type = gpu_type(x)}));
  if (needs_gradient(x_TD)) {
    differentiate(std::span(&x_TD, 1), y_TD, [this, x, weight_D, eps](const Gradients& dy_TD) {
      return Gradients{rms_norm_backward(dy_TD[0], {}, x, weight_D, eps)};
    });
  }
  return y_TD[0];
}

std::array<at::Tensor, 2> CudaBackend::add_rms_norm(at::Tensor x_TD, const at::Tensor& y_TD,
                                                    const at::Tensor& weight_D, double eps) const {
  if (steps_ == nullptr || !steps_take({x_TD, y_TD, weight_D}))
    return TorchBackend::add_rms_norm(std::move(x_TD), y_TD, weight_D, eps);
  const c10::DeviceGuard on_device(x_TD.device());
  const std::array<at::Tensor, 2> inputs{x_TD, y_TD};
  const bool differentiable = needs_gradient(inputs);
  const at::Tensor x = x_TD.detach(), y = y_TD.detach();
  const at::Tensor sum = c10::GradMode::is_enabled() ? at::empty_like(x) : x;
  std::array<at::Tensor, 2> sum_and_norm{sum, at::empty_like(x)};
  require_launch("the norm of a sum", steps_->rms_norm({.x = x.const_data_ptr(),
                                                        .add = y.const_data_ptr(),
                                                        .weight = weight_D.const_data_ptr(),
                                                        .sum = sum.mutable_data_ptr(),
                                                        .y = sum_and_norm[1].mutable_data_ptr(),
                                                        .rows = x.size(0),
                                                        .width = x.size(1),
                                                        .eps = static_cast<float>(eps),
                                                        .type = gpu_type(x)}));
  if (differentiable) {
    differentiate(inputs, sum_and_norm, [this, sum, weight_D, eps](const Gradients& d_TD) {
      const at::Tensor d =
          d_TD[1].defined() ? rms_norm_backward(d_TD[1], d_TD[0], sum, weight_D, eps) : d_TD[0];
      return Gradients{d, d};
    });
  }
  return sum_and_norm;
}

at::Tensor CudaBackend::rms_norm_backward(const at::Tensor& dy_TD, const at::Tensor& dsum_TD,
                                          const at::Tensor& sum_TD, const at::Tensor& weight_D,
                                          double eps) const {
  const c10::DeviceGuard on_device(sum_TD.device());
  const at::Tensor dy = dy_TD.contiguous(), dsum = dsum_TD.defined() ? dsum_TD.contiguous() : at::Tensor();
  at::Tensor dx_TD = at::empty_like(sum_TD);
  require_launch("the gradient of a norm", steps_->rms_norm_backward({.dy = dy.const_data_ptr(),
                                                                      .ds = data_or_null(dsum),
                                                                      .s = sum_TD.const_data_ptr(),
                                                                      .weight = weight_D.const_data_ptr(),
                                                                      .dx = dx_TD.mutable_data_ptr(),
                                                                      .rows = sum_TD.size(0),
                                                                      .width = sum_TD.size(1),
                                                                      .eps = static_cast<float>(eps),
                                                                      .type = gpu_type(sum_TD)}));
  return dx_TD;
}

at::Tensor CudaBackend::rotate(at::Tensor x_THK, const Rotation& rotation) const {
  if (steps_ == nullptr || !steps_take({x_THK, rotation.cos, rotation.sin}))
    return TorchBackend::rotate(std::move(x_THK), rotation);
  const at::Tensor x = x_THK.detach();
  std::array<at::Tensor, 1> y_THK{x};
  turn(x, rotation, false, y_THK[0]);
  if (needs_gradient(x_THK)) {
    differentiate(std::span(&x_THK, 1), y_THK, [this, rotation](const Gradients& dy_THK) {
      const at::Tensor dy = dy_THK[0].contiguous();  // not in its memory: whoever made it may read it again
      at::Tensor dx_THK = at::empty_like(dy);
      turn(dy, rotation, true, dx_THK);
      return Gradients{dx_THK};
    });
  }
  return y_THK[0];
}

void CudaBackend::turn(const at::Tensor& x_THK, const Rotation& rotation, bool back,
                       at::Tensor& y_THK) const {
  const c10::DeviceGuard on_device(x_THK.device());
  require_launch("the rotation", steps_->rotate({.x = x_THK.const_data_ptr(),
                                                 .y = y_THK.mutable_data_ptr(),
                                                 .cos = rotation.cos.const_data_ptr(),
                                                 .sin = rotation.sin.const_data_ptr(),
                                                 .rows = x_THK.size(0),
                                                 .heads = x_THK.size(1),
                                                 .width = x_THK.size(2),
                                                 .turned = 2 * rotation.cos.size(2),
                                                 .back = back,
                                                 .type = gpu_type(x_THK)}));
}

at::Tensor CudaBackend::activate(Activation activation, at::Tensor gate_TI, const at::Tensor& up_TI) const {
  const bool known = activation == Activation::silu && up_TI.defined();
  if (steps_ == nullptr || !known || !steps_take({gate_TI, up_TI}))
    return TorchBackend::activate(activation, std::move(gate_TI), up_TI);
  const c10::DeviceGuard on_device(gate_TI.device());
  const std::array<at::Tensor, 2> inputs{gate_TI, up_TI};
  const bool differentiable = needs_gradient(inputs);
  const at::Tensor gate = gate_TI.detach(), up = up_TI.detach();
  std::array<at::Tensor, 1> y_TI{differentiable ? at::empty_like(gate) : gate};
  require_launch("the activation", steps_->silu_times({.gate = gate.const_data_ptr(),
                                                       .up = up.const_data_ptr(),
                                                       .y = y_TI[0].mutable_data_ptr(),
                                                       .count = gate.numel(),
                                                       .type = gpu_type(gate)}));
  if (differentiable) {
    differentiate(inputs, y_TI, [this, gate, up](const Gradients& dy_TI) {
      const c10::DeviceGuard same_device(gate.device());
      const at::Tensor dy = dy_TI[0].contiguous();
      Gradients d{at::empty_like(gate), at::empty_like(up)};
      require_launch("the gradient of the activation",
                     steps_->silu_times_backward({.dy = dy.const_data_ptr(),
                                                  .gate = gate.const_data_ptr(),
                                                  .up = up.const_data_ptr(),
                                                  .dgate = d[0].mutable_data_ptr(),
                                                  .dup = d[1].mutable_data_ptr(),
                                                  .count = gate.numel(),
                                                  .type = gpu_type(gate)}));
      return d;
    });
  }
  return y_TI[0];
}

}  // namespace rocket
