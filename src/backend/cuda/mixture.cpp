#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <array>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/steps.h"

namespace rocket {
namespace {

/// Parameters are float32, and a launch carries the experts along.
bool steps_know(const MixtureView& layer, const at::Tensor& x_TI) {
  const ExpertColumns& columns = layer.columns;
  bool few =
      columns.experts() <= GpuExperts::kMostExperts && columns.module_count() <= GpuExperts::kMostModules;
  for (std::int64_t m = 0; m < columns.module_count(); ++m)
    few = few && columns.experts_of(m) <= GpuExperts::kMostOfModule;
  return few && steps_take({x_TI}) && layer.a_RI.scalar_type() == at::kFloat;
}

GpuExperts gpu_experts(const ExpertColumns& columns) {
  GpuExperts experts{.modules = static_cast<int>(columns.module_count())};
  std::ranges::copy(columns.modules, experts.module);
  std::ranges::copy(columns.first, experts.first);
  std::ranges::copy(columns.scales, experts.scale);
  return experts;
}

template <class T>
T* data(const at::Tensor& x) {
  return x.defined() ? x.mutable_data_ptr<T>() : nullptr;
}

void* raw_data(const at::Tensor& x) {
  return x.defined() ? x.mutable_data_ptr() : nullptr;
}

/// a b with float32 sums that are not rounded to a shorter type.
at::Tensor wide_product(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kFloat ? at::mm(a, b) : at::mm(a, b, at::kFloat);
}

/// What the GPU computes of one mixture, between the products.
class Mixing {
 public:
  Mixing(const GpuSteps& steps, const MixtureView& layer, const at::Tensor& x_TI, const InputDropout& dropout)
      : steps_(steps), layer_(layer), x_TI_(x_TI), dropout_(dropout), experts_(gpu_experts(layer.columns)) {}

  /// The features of x that are kept, scaled; into `y_TI`, which may be x.
  at::Tensor dropped(const at::Tensor& x_TI, at::Tensor y_TI) const {
    require_launch("dropout", steps_.drop({.draw = gpu_rows(dropout_.draw, x_TI.size(1)),
                                           .x = x_TI.const_data_ptr(),
                                           .y = y_TI.mutable_data_ptr(),
                                           .scale = static_cast<float>(dropout_.scale),
                                           .type = gpu_type(x_TI)}));
    return y_TI;
  }

  at::Tensor seen_by_experts() const {
    return dropout_.active() ? dropped(x_TI_, at::empty_like(x_TI_)) : x_TI_;
  }

  /// Of bfloat16 rows the routers are taken in three parts: the matrix library multiplies such numbers by
  /// bfloat16 ones only, and a copy of x in float32 would cost more than the product.
  void route(MixtureState& state) const {
    const bool narrow = x_TI_.scalar_type() == at::kBFloat16;
    const std::int64_t rows = x_TI_.size(0), experts = layer_.columns.experts();
    const at::TensorOptions floats = x_TI_.options().dtype(at::kFloat);
    const at::Tensor routers = narrow ? three_parts(layer_.router_NI) : layer_.router_NI;
    state.router_NI = routers.narrow(0, 0, experts);  // the first part is the router, rounded
    const at::Tensor logits = wide_product(x_TI_, routers.t());
    state.p_TN = at::empty({rows, experts}, floats);
    state.gates_TN = at::empty({rows, experts}, floats);
    state.log_sum_TM = at::empty({rows, layer_.columns.module_count()}, floats);
    require_launch("the router's choice", steps_.route({.logits = logits.const_data_ptr<float>(),
                                                        .parts = narrow ? 3 : 1,
                                                        .experts = experts_,
                                                        .rule = layer_.rule,
                                                        .p = data<float>(state.p_TN),
                                                        .gates = data<float>(state.gates_TN),
                                                        .log_sum = data<float>(state.log_sum_TM),
                                                        .rows = rows}));
  }

  at::Tensor gated(const MixtureState& state) const {
    const at::Tensor gated_TR = at::empty_like(state.hidden_TR);
    require_launch("gates", steps_.gate_ranks({.hidden = state.hidden_TR.const_data_ptr(),
                                               .gates = data<float>(state.gates_TN),
                                               .gated = gated_TR.mutable_data_ptr(),
                                               .experts = experts_,
                                               .rows = gated_TR.size(0),
                                               .type = gpu_type(gated_TR)}));
    return gated_TR;
  }

  /// d objective / d logits in float32, and as the sum of two bfloat16 numbers where x is of these.
  struct Logits {
    at::Tensor d_TN, parts_T2N;
  };

  /// `dgated_TR` becomes d objective / d hidden.
  Logits gate_backward(const MixtureState& state, at::Tensor& dgated_TR, const LossGradients& losses) const {
    Logits logits;
    if (layer_.columns.routed()) {
      logits.d_TN = at::empty_like(state.p_TN);
      if (x_TI_.scalar_type() == at::kBFloat16)
        logits.parts_T2N = at::empty({state.p_TN.size(0), 2 * state.p_TN.size(1)}, x_TI_.options());
    }
    require_launch("the gradient of gates",
                   steps_.gate_backward({.hidden = state.hidden_TR.const_data_ptr(),
                                         .dgated = dgated_TR.const_data_ptr(),
                                         .p = data<float>(state.p_TN),
                                         .gates = data<float>(state.gates_TN),
                                         .log_sum = data<float>(state.log_sum_TM),
                                         .choices = data<std::int64_t>(losses.choices_N),
                                         .balance = static_cast<float>(losses.balance),
                                         .z = static_cast<float>(losses.z),
                                         .dhidden = dgated_TR.mutable_data_ptr(),
                                         .dlogits = data<float>(logits.d_TN),
                                         .dlogits_parts = raw_data(logits.parts_T2N),
                                         .experts = experts_,
                                         .rule = layer_.rule,
                                         .rows = dgated_TR.size(0),
                                         .type = gpu_type(dgated_TR)}));
    return logits;
  }

  at::Tensor router_gradient(const Logits& logits) const {
    if (!logits.parts_T2N.defined()) return at::mm(logits.d_TN.t(), x_TI_);
    const at::Tensor parts_2NI = wide_product(logits.parts_T2N.t(), x_TI_);
    const std::int64_t experts = layer_.columns.experts();
    return parts_2NI.narrow(0, 0, experts).add_(parts_2NI.narrow(0, experts, experts));
  }

  /// Adds what reaches x through the routers.
  void add_through_routers(const Logits& logits, const MixtureState& state, at::Tensor& dx_TI) const {
    const std::int64_t experts = layer_.columns.experts();
    const at::Tensor d_TN = logits.parts_T2N.defined() ? logits.parts_T2N.narrow(1, 0, experts) : logits.d_TN;
    dx_TI.addmm_(d_TN, state.router_NI);
  }

 private:
  /// [3 N, I] bfloat16.
  at::Tensor three_parts(const at::Tensor& values_NI) const {
    const at::Tensor parts =
        at::empty({3 * values_NI.size(0), values_NI.size(1)}, values_NI.options().dtype(at::kBFloat16));
    require_launch("parts of routers", steps_.three_parts({.values = values_NI.const_data_ptr<float>(),
                                                           .parts = parts.mutable_data_ptr(),
                                                           .count = values_NI.numel()}));
    return parts;
  }

  const GpuSteps& steps_;
  const MixtureView& layer_;
  const at::Tensor& x_TI_;
  const InputDropout& dropout_;
  GpuExperts experts_;
};

}  // namespace

MixtureState CudaBackend::add_mixture(const MixtureView& layer, const at::Tensor& x_TI,
                                      const InputDropout& dropout, std::span<at::Tensor> outputs_TO) const {
  if (steps_ == nullptr || !steps_know(layer, x_TI))
    return TorchBackend::add_mixture(layer, x_TI, dropout, outputs_TO);
  const c10::DeviceGuard on_device(x_TI.device());
  const Mixing mixing(*steps_, layer, x_TI, dropout);
  const at::ScalarType type = x_TI.scalar_type();
  MixtureState state;
  if (layer.columns.routed()) mixing.route(state);
  state.a_RI = layer.a_RI.to(type);
  state.hidden_TR = at::mm(mixing.seen_by_experts(), state.a_RI.t());
  const at::Tensor gated_TR = mixing.gated(state);
  for (std::int64_t m = 0; m < layer.columns.module_count(); ++m) {
    const auto i = static_cast<std::size_t>(m);
    state.b_OR.push_back(layer.b_OR[i].to(type));
    outputs_TO[i].addmm_(layer.columns.ranks_of_module(gated_TR, m), state.b_OR[i].t());
  }
  return state;
}

MixtureGradients CudaBackend::mixture_backward(const MixtureView& layer, const at::Tensor& x_TI,
                                               const InputDropout& dropout, const MixtureState& state,
                                               std::span<const at::Tensor> dy_TO, const LossGradients& losses,
                                               const WantedGradients& wanted) const {
  if (steps_ == nullptr || !steps_know(layer, x_TI))
    return TorchBackend::mixture_backward(layer, x_TI, dropout, state, dy_TO, losses, wanted);
  const c10::DeviceGuard on_device(x_TI.device());
  const Mixing mixing(*steps_, layer, x_TI, dropout);
  MixtureGradients g;
  at::Tensor dhidden_TR = at::empty_like(state.hidden_TR);
  const at::Tensor gated_TR = wanted.experts ? mixing.gated(state) : at::Tensor();
  for (std::int64_t m = 0; m < layer.columns.module_count(); ++m) {
    const auto i = static_cast<std::size_t>(m);
    at::Tensor of_module = layer.columns.ranks_of_module(dhidden_TR, m);
    if (dy_TO[i].defined())
      at::mm_out(of_module, dy_TO[i], state.b_OR[i]);
    else
      of_module.zero_();
    if (!wanted.experts) continue;
    g.db_OR.push_back(dy_TO[i].defined()
                          ? wide_product(dy_TO[i].t(), layer.columns.ranks_of_module(gated_TR, m))
                          : at::Tensor());
  }
  const Mixing::Logits logits = mixing.gate_backward(state, dhidden_TR, losses);
  if (wanted.experts) g.da_RI = wide_product(dhidden_TR.t(), mixing.seen_by_experts());
  if (wanted.x) {
    g.dx_TI = at::mm(dhidden_TR, state.a_RI);
    if (dropout.active()) mixing.dropped(g.dx_TI, g.dx_TI);
  }
  if (!layer.columns.routed()) return g;
  if (wanted.routers) g.drouter_NI = mixing.router_gradient(logits);
  if (wanted.x) mixing.add_through_routers(logits, state, g.dx_TI);
  return g;
}

}  // namespace rocket
