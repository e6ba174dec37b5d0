#include "backend/cuda/steps.h"

#include <algorithm>

#include "base/error.h"

namespace rocket {

bool steps_take(std::initializer_list<at::Tensor> tensors) {
  const at::ScalarType type = tensors.begin()->scalar_type();
  return (type == at::kFloat || type == at::kBFloat16) &&
         std::ranges::all_of(
             tensors, [&](const at::Tensor& x) { return x.scalar_type() == type && x.is_contiguous(); });
}

GpuType gpu_type(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat ? GpuType::f32 : GpuType::bf16;
}

void require_launch(const char* step, const char* problem) {
  if (problem != nullptr) fail_internal("{} on the GPU: {}", step, problem);
}

}  // namespace rocket
