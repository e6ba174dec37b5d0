// Weights that have learned nothing yet.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

namespace rocket {

/// [rows, inputs] from U(+-1/sqrt(inputs)), as nn.Linear and LoRA's A start (kaiming_uniform with a =
/// sqrt(5)): a function of (seed, name, row, column), so that ranks do not matter. float32 on the CPU.
at::Tensor fresh_weight(std::int64_t rows, std::int64_t inputs, std::uint64_t seed, const std::string& name);

}  // namespace rocket
