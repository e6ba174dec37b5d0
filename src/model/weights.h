// Weights of a file as a model computes with them.
#pragma once

#include <ATen/ATen.h>

#include "formats/tensors.h"

namespace rocket {

/// Where weights go: their type and device.
struct WeightPlace {
  at::ScalarType dtype;
  at::Device device;
};

/// The weight as the model computes with it. It shares the mapped bytes where type, device and alignment
/// allow. Throws data (65) naming the tensor for a value that is not finite, in the file or in the type.
at::Tensor load_weight(const StoredTensor& stored, const WeightPlace& place);

}  // namespace rocket
