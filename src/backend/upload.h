// Small numbers that the host computes and a device reads.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

namespace rocket {

/// A CPU tensor on `device`. The host does not wait for the device: the values go through pinned memory.
at::Tensor upload(const at::Tensor& values, at::Device device);
/// [n] int64.
at::Tensor upload(std::span<const std::int64_t> values, at::Device device);

}  // namespace rocket
