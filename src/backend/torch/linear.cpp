#include <span>
#include <utility>
#include <vector>

#include "backend/backward.h"
#include "backend/torch/torch_backend.h"

namespace rocket {

LinearWeight TorchBackend::prepare(at::Tensor weight_OI, bool /*keep*/) const {
  return {std::move(weight_OI), {}};
}

at::Tensor TorchBackend::product(const LinearWeight& weight, const at::Tensor& x_TI) const {
  return at::mm(x_TI, weight.values_OI.t());
}

void TorchBackend::add_product_gradient(const LinearWeight& weight, const at::Tensor& dy_TO,
                                        at::Tensor& dx_TI) const {
  dx_TI = dx_TI.defined() ? dx_TI.addmm_(dy_TO, weight.values_OI) : at::mm(dy_TO, weight.values_OI);
}

std::vector<at::Tensor> TorchBackend::linear(const at::Tensor& x_TI,
                                             std::span<const LinearWeight* const> weights,
                                             std::span<const at::Tensor> bias_O) const {
  const bool differentiable = needs_gradient(x_TI);
  const at::Tensor x = differentiable ? x_TI.detach() : x_TI;
  std::vector<at::Tensor> outputs;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    outputs.push_back(product(*weights[i], x));
    if (bias_O[i].defined()) outputs.back().add_(bias_O[i]);
  }
  if (!differentiable) return outputs;
  const std::vector<const LinearWeight*> kept(weights.begin(), weights.end());
  differentiate(std::span(&x_TI, 1), outputs, [this, kept](const Gradients& dy_TO) {
    at::Tensor dx_TI;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (dy_TO[i].defined()) add_product_gradient(*kept[i], dy_TO[i], dx_TI);
    }
    return Gradients{dx_TI};
  });
  return outputs;
}

}  // namespace rocket
