#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/steps.h"

namespace rocket {

/// The matrix library's products of bfloat16 values leave float32 sums: the head is neither copied nor
/// rounded.
at::Tensor CudaBackend::logits(const HeadWeight& head, const at::Tensor& hidden_TD) const {
  const at::ScalarType type = head.values_OI.scalar_type();
  if (type != at::kBFloat16) return TorchBackend::logits(head, hidden_TD);
  return logits_of(head, at::mm(hidden_TD.to(type), head.values_OI.t(), at::kFloat));
}

std::array<at::Tensor, 2> CudaBackend::nll_and_gradient(const HeadWeight& head, const at::Tensor& hidden_TD,
                                                        const at::Tensor& targets_T, bool wanted) const {
  if (steps_ == nullptr || head.changes_logits() || !steps_take({head.values_OI}))
    return TorchBackend::nll_and_gradient(head, hidden_TD, targets_T, wanted);
  const c10::NoGradGuard no_grad;
  const c10::DeviceGuard on_device(hidden_TD.device());
  const bool narrow = head.values_OI.scalar_type() == at::kBFloat16;
  const std::int64_t all = hidden_TD.size(0);
  const std::int64_t chunk = std::max<std::int64_t>(1, logits_at_once(hidden_TD.device()) / head.outputs());
  const at::Tensor targets = targets_T.contiguous();
  at::Tensor nll_T = at::empty({all}, hidden_TD.options().dtype(at::kFloat));
  at::Tensor gradient_TD = wanted ? at::empty_like(hidden_TD, at::kFloat) : at::Tensor();
  for (std::int64_t begin = 0; begin < all; begin += chunk) {
    const std::int64_t rows = std::min(chunk, all - begin);
    const at::Tensor logits_TV = logits(head, hidden_TD.narrow(0, begin, rows));
    at::Tensor d_TV;  // in the memory of the logits where the type allows
    if (wanted) d_TV = narrow ? at::empty_like(logits_TV, at::kBFloat16) : logits_TV;
    require_launch("nll", steps_->nll({.logits = logits_TV.const_data_ptr<float>(),
                                       .targets = targets.const_data_ptr<std::int64_t>() + begin,
                                       .nll = nll_T.mutable_data_ptr<float>() + begin,
                                       .gradient = wanted ? d_TV.mutable_data_ptr() : nullptr,
                                       .rows = rows,
                                       .width = head.outputs(),
                                       .type = gpu_type(head.values_OI)}));
    if (!wanted) continue;
    at::Tensor of_chunk = gradient_TD.narrow(0, begin, rows);
    if (narrow)
      of_chunk.copy_(at::mm(d_TV, head.values_OI, at::kFloat));
    else
      at::mm_out(of_chunk, d_TV, head.values_OI);
  }
  return {nll_T, gradient_TD};
}

}  // namespace rocket
