// Routers: how they start, and which experts they choose.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "kernels/kernels.h"
#include "moe/mixture.h"

namespace rocket {

/// U(+-1/sqrt(d_in)) as a function of (seed, module's name, row, column); [N_w, d_in] float32 on the CPU.
at::Tensor linear_router(const MixtureModule& module, const std::string& name, std::uint64_t seed);

/// Row i = the top right singular vector of B_i A_i, from lora_r x lora_r matrices only; [N_w, d_in] float32
/// on the CPU. A singular vector's sign is arbitrary: here its component of largest magnitude (the first of
/// them) is positive.
at::Tensor arrow_router(const MixtureModule& module);

}  // namespace rocket
