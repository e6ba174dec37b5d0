#include "backend/cuda/cuda_backend.h"

namespace rocket {

/// The matrix library's products of bfloat16 values leave float32 sums: the head is neither copied nor
/// rounded.
at::Tensor CudaBackend::logits(const LinearWeight& head, const at::Tensor& hidden_TD) const {
  const at::ScalarType type = head.values_OI.scalar_type();
  if (type != at::kBFloat16) return TorchBackend::logits(head, hidden_TD);
  return at::mm(hidden_TD.to(type), head.values_OI.t(), at::kFloat);
}

}  // namespace rocket
