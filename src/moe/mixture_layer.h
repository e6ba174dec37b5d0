// The adapted weights that read one input, as one step of the graph whose backward pass is written by hand:
// docs/method.md section 7 with two matrix products for all experts of all these weights.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace rocket {

/// Parameters of each module: A [sum of ranks, I], router [experts, I], B [O, sum of ranks].
struct LayerParameters {
  std::vector<at::Tensor> a_RI, router_NI, b_OR;
};

/// Weights of the losses of one adapted weight in the objective: the Switch balance loss sum_i N f_i P_i (f_i
/// = share of the choices, P_i = mean of p) and the z loss mean(logsumexp^2). Their gradients join the
/// routers' in the backward pass of the objective, which must therefore be that of the objective itself, not
/// of a multiple. A router without a choice has no losses, and no gradient at all.
struct RouterLosses {
  double balance = 0, z = 0;
};

/// Replaces outputs[m] = y [T, O] by y + sum over experts of gate * scale * B (A x'), differentiable with
/// respect to x, y and the parameters. Routers see x, experts x'. Types: float32 and bfloat16 (whose experts
/// are computed in float32 on the CPU), on any device LibTorch's own types, routers in float32 or float64.
/// Returns, of each module where `observe`, how many rows chose each expert: int64, on the device of x.
std::vector<at::Tensor> add_mixture(const Backend& backend, const at::Tensor& x_TI,
                                    std::span<at::Tensor> outputs_TO, const ExpertColumns& columns,
                                    const LayerParameters& parameters, const RoutingRule& rule,
                                    const InputDropout& dropout, const RouterLosses& losses, bool observe);

}  // namespace rocket
