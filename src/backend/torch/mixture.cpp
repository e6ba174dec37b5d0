#include <algorithm>
#include <limits>

#include "backend/torch/routing.h"
#include "backend/torch/torch_backend.h"

namespace rocket {
namespace {

/// Routers compute in float32, in float64 where x does.
at::ScalarType router_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Row e holds expert e's scale in its own columns, zeros elsewhere.
at::Tensor spread(const ExpertColumns& columns, const at::TensorOptions& options) {
  at::Tensor spread_NR = at::zeros({columns.experts(), columns.columns()}, options);
  for (std::int64_t e = 0; e < columns.experts(); ++e) {
    const auto i = static_cast<std::size_t>(e);
    spread_NR[e]
        .narrow(0, columns.first[i], columns.first[i + 1] - columns.first[i])
        .fill_(columns.scales[i]);
  }
  return spread_NR;
}

/// The kept features are scaled before they are rounded: 1 / 0.95 itself is 0.2 % off in bfloat16.
at::Tensor dropped(const at::Tensor& x_TI, const at::Tensor& kept_TI, double scale) {
  if (!kept_TI.defined()) return x_TI;
  return (x_TI.to(router_type(x_TI)) * kept_TI * scale).to(x_TI.scalar_type());
}

at::Tensor kept_features(const Backend& backend, const InputDropout& dropout, const at::Tensor& x_TI) {
  return dropout.active() ? backend.dropout_mask(dropout.draw, x_TI.size(1)) : at::Tensor();
}

/// Each row's factors, spread over the experts' columns; without a choice [1, columns].
at::Tensor factors(const MixtureView& layer, const at::Tensor& x_TI, const MixtureState& state) {
  const at::Tensor spread_NR = spread(layer.columns, x_TI.options().dtype(router_type(x_TI)));
  return (state.gates_TN.defined() ? at::mm(state.gates_TN, spread_NR) : spread_NR.sum(0, true))
      .to(x_TI.scalar_type());
}

at::Tensor gates_to_logits(const MixtureView& layer, const MixtureState& state, const at::Tensor& dgates_TN,
                           const LossGradients& losses) {
  const at::Tensor dp_N = losses.dp(layer.columns, state.p_TN.size(0));
  std::vector<at::Tensor> all;
  for (std::int64_t m = 0; m < layer.columns.module_count(); ++m) {
    const at::Tensor gates = layer.columns.of_module(state.gates_TN, m),
                     p = layer.columns.of_module(state.p_TN, m);
    const at::Tensor direct = gates * layer.columns.of_module(dgates_TN, m), mean = direct.sum(1, true);
    at::Tensor dlogits = direct - (layer.rule.renormalised(layer.columns.experts_of(m)) ? gates : p) * mean;
    if (losses.z != 0 && layer.columns.has_choice(m))
      dlogits = dlogits + p * state.log_sum_TM.narrow(1, m, 1) * losses.z;
    if (dp_N.defined()) {
      const at::Tensor weighted = p * layer.columns.of_module(dp_N, m).to(p.scalar_type());
      dlogits = dlogits + weighted - p * weighted.sum(1, true);
    }
    all.push_back(dlogits);
  }
  return at::cat(all, 1);
}

}  // namespace

Routing route(const at::Tensor& logits_TN, const RoutingRule& rule) {
  const at::Tensor p_TN = at::softmax(logits_TN, -1);
  const std::int64_t experts = p_TN.size(1), k = std::min(rule.top_k, experts);
  // topk promises no order among equals; a stable sort does.
  const at::Tensor order_TN = std::get<1>(at::sort(p_TN, /*stable=*/true, /*dim=*/1, /*descending=*/true));
  const at::Tensor chosen_TK = order_TN.narrow(1, 0, k);
  // LibTorch's exponential may give zero where the kernels' gives less than a normal number. A chosen expert
  // has a gate that is not zero: what is chosen is counted by it.
  at::Tensor weight_TK = p_TN.gather(1, chosen_TK).clamp_min(std::numeric_limits<float>::min());
  if (rule.top_p < 1) weight_TK = weight_TK * (weight_TK.cumsum(1) - weight_TK).lt(rule.top_p);
  if (rule.renormalised(experts)) weight_TK = weight_TK / weight_TK.sum(1, /*keepdim=*/true);
  return {p_TN, at::zeros_like(p_TN).scatter(1, chosen_TK, weight_TK)};
}

MixtureState TorchBackend::add_mixture(const MixtureView& layer, const at::Tensor& x_TI,
                                       const InputDropout& dropout, std::span<at::Tensor> outputs_TO) const {
  const at::ScalarType type = x_TI.scalar_type();
  MixtureState state;
  if (layer.columns.routed()) {
    const at::Tensor logits_TN =
        at::mm(x_TI.to(router_type(x_TI)), layer.router_NI.to(router_type(x_TI)).t());
    std::vector<at::Tensor> p, gates, log_sums;
    for (std::int64_t m = 0; m < layer.columns.module_count(); ++m) {
      const at::Tensor logits = layer.columns.of_module(logits_TN, m);
      const Routing routing = route(logits, layer.rule);
      p.push_back(routing.p_TN);
      gates.push_back(routing.gates_TN);
      log_sums.push_back(at::logsumexp(logits, 1, true));
    }
    state = {{}, at::cat(p, 1), at::cat(gates, 1), at::cat(log_sums, 1)};
  }
  const at::Tensor seen_TI = dropped(x_TI, kept_features(*this, dropout, x_TI), dropout.scale);
  state.hidden_TR = at::mm(seen_TI, layer.a_RI.to(type).t());
  const at::Tensor gated_TR = state.hidden_TR * factors(layer, x_TI, state);
  for (std::int64_t m = 0; m < layer.columns.module_count(); ++m) {
    const auto i = static_cast<std::size_t>(m);
    at::Tensor y_TO = outputs_TO[i];
    y_TO.addmm_(layer.columns.ranks_of_module(gated_TR, m), layer.b_OR[i].to(type).t());
  }
  return state;
}

MixtureGradients TorchBackend::mixture_backward(const MixtureView& layer, const at::Tensor& x_TI,
                                                const InputDropout& dropout, const MixtureState& state,
                                                std::span<const at::Tensor> dy_TO,
                                                const LossGradients& losses,
                                                const WantedGradients& wanted) const {
  const at::ScalarType type = x_TI.scalar_type(), parameter = layer.a_RI.scalar_type();
  const at::Tensor factors_TR = factors(layer, x_TI, state), gated_TR = state.hidden_TR * factors_TR;
  const at::Tensor dgated_TR = at::zeros_like(state.hidden_TR);
  MixtureGradients g;
  for (std::int64_t m = 0; m < layer.columns.module_count(); ++m) {
    const auto i = static_cast<std::size_t>(m);
    if (dy_TO[i].defined())
      layer.columns.ranks_of_module(dgated_TR, m).copy_(at::mm(dy_TO[i], layer.b_OR[i].to(type)));
    if (!wanted.experts) continue;
    g.db_OR.push_back(dy_TO[i].defined()
                          ? at::mm(dy_TO[i].t(), layer.columns.ranks_of_module(gated_TR, m)).to(parameter)
                          : at::Tensor());
  }
  const at::Tensor dhidden_TR = dgated_TR * factors_TR;
  const at::Tensor kept_TI = kept_features(*this, dropout, x_TI);
  if (wanted.experts) g.da_RI = at::mm(dhidden_TR.t(), dropped(x_TI, kept_TI, dropout.scale)).to(parameter);
  if (wanted.x) g.dx_TI = dropped(at::mm(dhidden_TR, layer.a_RI.to(type)), kept_TI, dropout.scale);
  if (!layer.columns.routed()) return g;
  const at::ScalarType wide = router_type(x_TI);
  const at::Tensor spread_NR = spread(layer.columns, x_TI.options().dtype(wide));
  const at::Tensor dgates_TN = at::mm((dgated_TR * state.hidden_TR).to(wide), spread_NR.t());
  const at::Tensor dlogits_TN = gates_to_logits(layer, state, dgates_TN, losses);
  if (wanted.routers) g.drouter_NI = at::mm(dlogits_TN.t(), x_TI.to(wide)).to(parameter);
  if (wanted.x) g.dx_TI.add_(at::mm(dlogits_TN, layer.router_NI.to(wide)).to(type));
  return g;
}

}  // namespace rocket
