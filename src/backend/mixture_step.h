// A mixture of experts on the modules that read one input, as a backend takes it.
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
  /// The same of a tensor whose last dimension runs over the ranks of all experts.
  at::Tensor ranks_of_module(const at::Tensor& all, std::int64_t m) const {
    return all.narrow(-1, first_column_of(m), columns_of(m));
  }

 private:
  static std::int64_t at(const std::vector<std::int64_t>& v, std::int64_t i) {
    return v[static_cast<std::size_t>(i)];
  }
};

/// What a row's dropout is drawn from: see kernels' DropoutRow. The counters are int64 [T], their bits
/// unsigned.
struct DropoutDraw {
  at::Tensor upper_T, lower_T;
  std::uint64_t key = 0, input = 0;  // `input` joins the upper counter
  std::uint32_t threshold = 0;       // words below it drop
};

/// Dropout of the x that the experts see. Kept features are scaled.
struct InputDropout {
  DropoutDraw draw;
  double scale = 1;

  bool active() const { return draw.upper_T.defined(); }
};

/// The layer: plain tensors without gradients, the A and the routers of all modules stacked.
struct MixtureView {
  ExpertColumns columns;
  RoutingRule rule;
  at::Tensor a_RI, router_NI;
  std::vector<at::Tensor> b_OR;
};

/// What a backward pass needs of the forward one. Without a choice there is nothing but the inner values.
struct MixtureState {
  at::Tensor hidden_TR;        // A x', [T, sum of all ranks]
  at::Tensor p_TN, gates_TN;   // [T, experts of all modules]
  at::Tensor log_sum_TM;       // log of the sum of exp(logits), [T, modules]
  at::Tensor kept_TI;          // the dropout's mask, where it is not drawn again
  at::Tensor a_RI, router_NI;  // in the type of the products, where the backward pass takes them over
  std::vector<at::Tensor> b_OR;
};

/// Which gradients are wanted.
struct WantedGradients {
  bool x = false, experts = false, routers = false;
};

/// What the losses of the routers add to the gradients of the logits.
struct LossGradients {
  at::Tensor choices_N;  // how many rows chose each expert, int64, on the device; undefined: no balance loss
  double balance = 0;    // weight of the balance loss of each module
  double z = 0;          // d objective / d logits = z * log_sum * p

  /// d objective / d p of the balance loss, the same for all `tokens` rows: float64 [N] on the device.
  /// Undefined without that loss. Nobody waits for it.
  at::Tensor dp(const ExpertColumns& columns, std::int64_t tokens) const;
};

/// Undefined where not wanted.
struct MixtureGradients {
  at::Tensor dx_TI, da_RI, drouter_NI;
  std::vector<at::Tensor> db_OR;
};

}  // namespace rocket
