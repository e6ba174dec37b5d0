#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "backend/backward.h"
#include "backend/torch/torch_backend.h"

namespace rocket {
namespace {

/// Gradient of each row's nll with respect to its own row: (softmax - one at the target) W. Takes over
/// `log_p`.
at::Tensor nll_gradient(at::Tensor log_p_TV, const at::Tensor& logits_TV, const at::Tensor& targets_T1,
                        const HeadWeight& head) {
  at::Tensor d_TV = log_p_TV.exp_();
  d_TV.scatter_add_(1, targets_T1, at::full_like(targets_T1, -1, d_TV.options()));
  if (head.cap > 0) d_TV.mul_(1 - (logits_TV / head.cap).square());
  if (head.scale != 1) d_TV.mul_(head.scale);
  return at::mm(d_TV.to(head.values_OI.scalar_type()), head.values_OI).to(at::kFloat);
}

}  // namespace

std::int64_t TorchBackend::logits_at_once(at::Device /*device*/) const {
  return std::int64_t{1} << 22;
}

LinearWeight TorchBackend::prepare_head(at::Tensor weight_VD, bool /*keep*/) const {
  return {std::move(weight_VD), {}};
}

at::Tensor TorchBackend::logits_of(const HeadWeight& head, at::Tensor products_TV) {
  if (head.scale != 1) products_TV = products_TV * head.scale;
  return head.cap > 0 ? at::tanh(products_TV / head.cap) * head.cap : products_TV;
}

/// Of bfloat16 values, not rounded to them: near ties would be decided by the rounding.
at::Tensor TorchBackend::logits(const HeadWeight& head, const at::Tensor& hidden_TD) const {
  const at::Tensor hidden = hidden_TD.to(head.values_OI.scalar_type()).to(at::kFloat);
  return logits_of(head, at::mm(hidden, head.values_OI.to(at::kFloat).t()));
}

at::Tensor TorchBackend::nll(const HeadWeight& head, const at::Tensor& hidden_TD,
                             const at::Tensor& targets_T) const {
  const bool differentiable = needs_gradient(hidden_TD);
  const at::Tensor hidden = hidden_TD.detach();
  const auto [nll_T, gradient_TD] = nll_and_gradient(head, hidden, targets_T, differentiable);
  if (!differentiable) return nll_T;
  std::array<at::Tensor, 1> out{nll_T};
  // The gradient is known at once: no logits are kept for the backward pass.
  const auto type = hidden.scalar_type();
  differentiate(std::span(&hidden_TD, 1), out, [gradient_TD = gradient_TD, type](const Gradients& d_T) {
    return Gradients{(gradient_TD * d_T[0].unsqueeze(1)).to(type)};
  });
  return out[0];
}

std::array<at::Tensor, 2> TorchBackend::nll_and_gradient(const HeadWeight& head, const at::Tensor& hidden_TD,
                                                         const at::Tensor& targets_T, bool wanted) const {
  const c10::NoGradGuard no_grad;
  const std::int64_t chunk = std::max<std::int64_t>(1, logits_at_once(hidden_TD.device()) / head.outputs());
  std::vector<at::Tensor> values{at::empty({0}, hidden_TD.options().dtype(at::kFloat))}, gradients;
  for (std::int64_t begin = 0; begin < hidden_TD.size(0); begin += chunk) {
    const std::int64_t rows = std::min(chunk, hidden_TD.size(0) - begin);
    const at::Tensor targets_T1 = targets_T.narrow(0, begin, rows).unsqueeze(1);
    // log_softmax gives one thread a whole row: its sum does not depend on the number of threads.
    const at::Tensor logits_TV = logits(head, hidden_TD.narrow(0, begin, rows));
    at::Tensor log_p_TV = at::log_softmax(logits_TV, -1);
    values.push_back(-log_p_TV.gather(1, targets_T1).squeeze(1));
    if (wanted) gradients.push_back(nll_gradient(std::move(log_p_TV), logits_TV, targets_T1, head));
  }
  return {at::cat(values), gradients.empty() ? at::zeros_like(hidden_TD, at::kFloat) : at::cat(gradients)};
}

at::Tensor TorchBackend::best(const HeadWeight& head, const at::Tensor& hidden_TD) const {
  return at::argmax(logits(head, hidden_TD), -1);
}

}  // namespace rocket
