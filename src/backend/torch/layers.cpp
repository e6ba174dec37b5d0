#include <c10/core/GradMode.h>

#include "backend/torch/torch_backend.h"

namespace rocket {

at::Tensor TorchBackend::silu_times(at::Tensor gate_TI, const at::Tensor& up_TI) const {
  return at::silu(gate_TI) * up_TI;
}

/// Rounded to x's type before the weight, as in transformers.
at::Tensor TorchBackend::rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const {
  const at::Tensor wide = x_TD.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, true) + eps);
  return weight_D * (wide * scale).to(x_TD.scalar_type());
}

std::array<at::Tensor, 2> TorchBackend::add_rms_norm(at::Tensor x_TD, const at::Tensor& y_TD,
                                                     const at::Tensor& weight_D, double eps) const {
  const at::Tensor sum_TD = c10::GradMode::is_enabled() ? x_TD + y_TD : x_TD.add_(y_TD);
  return {sum_TD, rms_norm(sum_TD, weight_D, eps)};
}

at::Tensor TorchBackend::rotation_values(const at::Tensor& x, at::ScalarType type, at::Device device) const {
  return x.to(device, type);
}

at::Tensor TorchBackend::rotate(at::Tensor x_THK, const Rotation& rotation) const {
  const std::int64_t half = x_THK.size(2) / 2;
  const at::Tensor first = x_THK.narrow(2, 0, half), second = x_THK.narrow(2, half, half);
  return at::cat({first * rotation.cos - second * rotation.sin, second * rotation.cos + first * rotation.sin},
                 2);
}

}  // namespace rocket
