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

GpuDropoutRows gpu_rows(const DropoutDraw& draw, std::int64_t features) {
  return {.upper = draw.upper_T.const_data_ptr<std::int64_t>(),
          .lower = draw.lower_T.const_data_ptr<std::int64_t>(),
          .rows = draw.upper_T.size(0),
          .width = features,
          .key = draw.key,
          .input = draw.input,
          .threshold = draw.threshold};
}

void require_launch(const char* step, const char* problem) {
  if (problem != nullptr) fail_internal("{} on the GPU: {}", step, problem);
}

}  // namespace rocket
