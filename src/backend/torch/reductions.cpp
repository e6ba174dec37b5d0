#include "backend/torch/torch_backend.h"

namespace rocket {

double TorchBackend::l2_norm(const at::Tensor& values_P) const {
  return at::linalg_vector_norm(values_P, 2, at::OptionalIntArrayRef(), false, at::kDouble).item<double>();
}

CaptureLaunches TorchBackend::graphs() const {
  return nullptr;
}

bool TorchBackend::side_by_side(std::int64_t /*hidden*/, std::int64_t /*intermediate*/) const {
  return false;
}

std::int64_t TorchBackend::rows_of_batch(std::int64_t batch_tokens, bool /*side_by_side*/) const {
  return batch_tokens;
}

}  // namespace rocket
