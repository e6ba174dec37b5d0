// The adapted weights that read one input, as one step of the graph whose backward pass is written by hand:
// METHOD section 5 with two matrix products for all experts of all these weights.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"

namespace rocket {

/// The experts of all modules of an input, side by side: expert e has the inner columns [first[e], first[e +
/// 1]) and a scale; module m has the experts [modules[m], modules[m + 1]).
struct ExpertColumns {
  std::vector<std::int64_t> modules = {0};
  std::vector<std::int64_t> first = {0};
  std::vector<double> scales;

  void add_module(std::span<const std::int64_t> ranks, std::span<const double> scale);
  std::int64_t module_count() const { return static_cast<std::int64_t>(modules.size()) - 1; }
  std::int64_t experts() const { return modules.back(); }
  std::int64_t columns() const { return first.back(); }
  std::int64_t experts_of(std::int64_t m) const { return at(modules, m + 1) - at(modules, m); }
  std::int64_t first_column_of(std::int64_t m) const { return at(first, at(modules, m)); }
  std::int64_t columns_of(std::int64_t m) const { return first_column_of(m + 1) - first_column_of(m); }
  /// A lone expert's gate is 1, whatever its router says.
  bool has_choice(std::int64_t m) const { return experts_of(m) > 1; }
  bool routed() const { return experts() > module_count(); }
  /// Module m's part of a tensor whose last dimension runs over all experts.
  at::Tensor of_module(const at::Tensor& all, std::int64_t m) const {
    return all.narrow(-1, at(modules, m), experts_of(m));
  }

 private:
  static std::int64_t at(const std::vector<std::int64_t>& v, std::int64_t i) {
    return v[static_cast<std::size_t>(i)];
  }
};

/// Parameters of each module: A [sum of ranks, I], router [experts, I], B [O, sum of ranks].
struct LayerParameters {
  std::vector<at::Tensor> a_RI, router_NI, b_OR;
};

/// Features of x that the experts see: 1 or 0, uint8; undefined without dropout. Kept ones are scaled.
struct KeptFeatures {
  at::Tensor kept_TI;
  double scale = 1;
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
std::vector<at::Tensor> add_mixture(const at::Tensor& x_TI, std::span<at::Tensor> outputs_TO,
                                    const ExpertColumns& columns, const LayerParameters& parameters,
                                    const RoutingRule& rule, const KeptFeatures& kept,
                                    const RouterLosses& losses, bool observe);

}  // namespace rocket
