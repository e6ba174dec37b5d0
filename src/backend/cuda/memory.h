// What a GPU's memory allows. It is asked how much it has, never how much is free: so the same card gives the
// same batches, and with them the same bits, whatever else is held.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace rocket {

/// In bytes; 0 where the device does not say.
std::int64_t memory_of(at::Device device);

}  // namespace rocket
