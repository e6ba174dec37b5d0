// The two ways in which a layer's rows pass: on kernels, and through LibTorch.
#pragma once

#include "moe/mixture_layer.h"

namespace rocket {

/// A layer as both ways see it: plain tensors without gradients, the A and the routers of all modules
/// stacked.
struct LayerView {
  ExpertColumns columns;
  RoutingRule rule;
  at::Tensor a_RI, router_NI;
  std::vector<at::Tensor> b_OR;
};

/// What a backward pass needs of the forward one. Without a choice there is nothing but the inner values.
struct LayerState {
  at::Tensor hidden_TR;       // A x', [T, sum of all ranks]
  at::Tensor p_TN, gates_TN;  // [T, experts of all modules]
  at::Tensor log_sum_TM;      // log of the sum of exp(logits), [T, modules]
};

/// Which gradients are wanted.
struct WantedGradients {
  bool x = false, experts = false, routers = false;
};

/// d objective / d p of the balance loss, by expert (the same for all rows), and the factor of the z loss.
struct LossGradients {
  std::vector<double> dp_N;  // empty: none
  double z = 0;              // d objective / d logits = z * log_sum * p
};

/// Undefined where not wanted.
struct LayerGradients {
  at::Tensor dx_TI, da_RI, drouter_NI;
  std::vector<at::Tensor> db_OR;
};

/// On kernels: x and the outputs float32 or bfloat16 on the CPU, contiguous; the outputs are changed in
/// place.
LayerState forward_on_kernels(const LayerView& layer, const at::Tensor& x_TI, const KeptFeatures& kept,
                              std::span<const at::Tensor> outputs_TO);
/// The same of float32 alone.
LayerGradients backward_on_kernels(const LayerView& layer, const at::Tensor& x_TI, const KeptFeatures& kept,
                                   const LayerState& state, std::span<const at::Tensor> dy_TO,
                                   const LossGradients& losses, const WantedGradients& wanted);

/// Through LibTorch: any device and type.
LayerState forward_through_libtorch(const LayerView& layer, const at::Tensor& x_TI, const KeptFeatures& kept,
                                    std::span<const at::Tensor> outputs_TO);
LayerGradients backward_through_libtorch(const LayerView& layer, const at::Tensor& x_TI,
                                         const KeptFeatures& kept, const LayerState& state,
                                         std::span<const at::Tensor> dy_TO, const LossGradients& losses,
                                         const WantedGradients& wanted);

}  // namespace rocket
