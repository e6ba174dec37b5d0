// The small pieces of the decoder. On the CPU they compute in float32, round once at the end, and a row's
// bits depend neither on its place in the batch nor on the number of threads.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "formats/tensors.h"

namespace rocket {

/// silu(gate) * up; may use the memory of `gate`, which nobody else must hold.
at::Tensor silu_times(at::Tensor gate_TI, const at::Tensor& up_TI);

/// LlamaRMSNorm: the mean square in float32; on a GPU rounded to x's type before the weight.
at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps);

/// Where weights go: their type and device.
struct WeightPlace {
  at::ScalarType dtype;
  at::Device device;
};

/// The weight as the model computes with it. It shares the mapped bytes where type, device and alignment
/// allow. Throws data (65) naming the tensor for a value that is not finite, in the file or in the type.
at::Tensor load_weight(const StoredTensor& stored, const WeightPlace& place);

}  // namespace rocket
