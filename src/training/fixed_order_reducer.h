// Sums of gradients that have the same bits for any number of ranks.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "comm/reducer.h"

namespace rocket {

/// FixedOrderSum over the micro-batches, of values on this device.
std::unique_ptr<Reducer> make_fixed_order_reducer(at::Device device);

}  // namespace rocket
