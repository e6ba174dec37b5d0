// Sums of gradients of a device that has no collective library of its own.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "comm/reducer.h"

namespace rocket {

/// Each rank's values travel through the host, once a step.
std::unique_ptr<Reducer> make_copying_reducer(at::Device device);

}  // namespace rocket
