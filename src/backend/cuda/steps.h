// Tensors as the steps of kernels/gpu.h take them.
#pragma once

#include <ATen/ATen.h>

#include <initializer_list>

#include "backend/mixture_step.h"
#include "kernels/gpu.h"

namespace rocket {

/// Whether the steps can take these: float32 or bfloat16, all of one type, without gaps.
bool steps_take(std::initializer_list<at::Tensor> tensors);

GpuType gpu_type(const at::Tensor& x);

/// The draw of `features` features of each row.
GpuDropoutRows gpu_rows(const DropoutDraw& draw, std::int64_t features);

/// Throws internal (70) where the device refuses: `problem` is what a step returns.
void require_launch(const char* step, const char* problem);

}  // namespace rocket
