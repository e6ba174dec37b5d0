#include <c10/core/GradMode.h>

#include <vector>

#include "backend/torch/torch_backend.h"

namespace rocket {

at::Tensor TorchBackend::activate(Activation activation, at::Tensor gate_TI, const at::Tensor& up_TI) const {
  const at::Tensor y_TI = activation == Activation::silu
                              ? at::silu(gate_TI)
                              : at::gelu(gate_TI, activation == Activation::gelu ? "none" : "tanh");
  return up_TI.defined() ? y_TI * up_TI : y_TI;
}

at::Tensor TorchBackend::rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const {
  const at::Tensor wide = x_TD.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, true) + eps);
  return (weight_D * (wide * scale).to(weight_D.scalar_type())).to(x_TD.scalar_type());
}

at::Tensor TorchBackend::layer_norm(const at::Tensor& x_TD, const NormWeights& norm) const {
  return at::layer_norm(x_TD, norm.weight_D.sizes(), norm.weight_D, norm.bias_D, norm.eps);
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
  const std::int64_t half = rotation.cos.size(2), rest = x_THK.size(2) - 2 * half;
  const at::Tensor first = x_THK.narrow(2, 0, half), second = x_THK.narrow(2, half, half);
  std::vector<at::Tensor> parts{first * rotation.cos - second * rotation.sin,
                                second * rotation.cos + first * rotation.sin};
  if (rest > 0) parts.push_back(x_THK.narrow(2, 2 * half, rest));
  return at::cat(parts, 2);
}

}  // namespace rocket
