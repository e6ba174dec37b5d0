#include "moe/mixture_layer.h"

#include <algorithm>

#include "model/backward.h"
#include "moe/layer_pass.h"

namespace rocket {
namespace {

/// The matrices below each other; a view where they stand so in memory, as the mixture lays them out.
at::Tensor stacked(const std::vector<at::Tensor>& matrices) {
  std::int64_t rows = 0;
  bool adjacent = true;
  const auto* next = static_cast<const std::byte*>(matrices[0].const_data_ptr());
  for (const at::Tensor& m : matrices) {
    adjacent = adjacent && m.is_contiguous() && m.const_data_ptr() == next;
    next += m.nbytes();
    rows += m.size(0);
  }
  const at::Tensor first = matrices[0].detach();
  if (adjacent) return first.as_strided({rows, first.size(1)}, {first.size(1), 1});
  return at::cat(matrices).detach();
}

std::vector<at::Tensor> detached(std::span<const at::Tensor> tensors) {
  std::vector<at::Tensor> plain;
  for (const at::Tensor& t : tensors) plain.push_back(t.detach());
  return plain;
}

bool in_float_on_cpu(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

at::Tensor plain_float(const at::Tensor& x) {
  return x.defined() ? x.to(at::kFloat).contiguous() : x;
}

std::vector<at::Tensor> plain_floats(std::span<const at::Tensor> tensors) {
  std::vector<at::Tensor> plain;
  for (const at::Tensor& t : tensors) plain.push_back(plain_float(t));
  return plain;
}

/// The outputs, changed; in their own memory where their type is what the experts are computed in.
LayerState forward(const LayerView& layer, const at::Tensor& x_TI, const KeptFeatures& kept,
                   std::vector<at::Tensor>& y_TO) {
  if (!in_float_on_cpu(x_TI)) return forward_through_libtorch(layer, x_TI, kept, y_TO);
  const std::vector<at::Tensor> sums_TO = plain_floats(y_TO);
  LayerState state = forward_on_kernels(layer, plain_float(x_TI), kept, sums_TO);
  for (std::size_t m = 0; m < y_TO.size(); ++m) y_TO[m] = sums_TO[m].to(x_TI.scalar_type());
  return state;
}

LayerGradients backward(const LayerView& layer, const at::Tensor& x_TI, const KeptFeatures& kept,
                        const LayerState& state, std::span<const at::Tensor> dy_TO,
                        const LossGradients& losses, const WantedGradients& wanted) {
  if (!in_float_on_cpu(x_TI))
    return backward_through_libtorch(layer, x_TI, kept, state, dy_TO, losses, wanted);
  LayerGradients g =
      backward_on_kernels(layer, plain_float(x_TI), kept, state, plain_floats(dy_TO), losses, wanted);
  if (g.dx_TI.defined()) g.dx_TI = g.dx_TI.to(x_TI.scalar_type());
  return g;
}

/// How often each expert of all modules was chosen, and the mean of its p; float64, on the host.
struct Loads {
  std::vector<double> choices, p;

  explicit Loads(const LayerState& state)
      : choices(static_cast<std::size_t>(state.p_TN.size(1))), p(choices.size()) {
    const at::Tensor gates_TN = state.gates_TN.to(at::kCPU, at::kDouble),
                     p_TN = state.p_TN.to(at::kCPU, at::kDouble);
    const double *gate = gates_TN.const_data_ptr<double>(), *probability = p_TN.const_data_ptr<double>();
    const std::size_t experts = choices.size(), tokens = static_cast<std::size_t>(p_TN.size(0));
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t e = 0; e < experts; ++e) {
        choices[e] += gate[t * experts + e] != 0 ? 1 : 0;
        p[e] += probability[t * experts + e];
      }
    }
    for (double& mean : p) mean /= static_cast<double>(std::max<std::size_t>(tokens, 1));
  }
};

/// Mean of the squared logsumexp of a module.
double z_loss(const LayerState& state, std::int64_t m) {
  const at::Tensor log_sum_T = state.log_sum_TM.select(1, m).to(at::kCPU, at::kDouble).contiguous();
  const double* log_sum = log_sum_T.const_data_ptr<double>();
  double sum = 0;
  for (std::int64_t t = 0; t < log_sum_T.numel(); ++t) sum += log_sum[t] * log_sum[t];
  return sum / static_cast<double>(std::max<std::int64_t>(log_sum_T.numel(), 1));
}

/// f_i = share of the choices, of the experts of module m.
std::vector<double> shares(const Loads& loads, const ExpertColumns& columns, std::int64_t m) {
  const auto first = loads.choices.begin() + columns.modules[static_cast<std::size_t>(m)];
  std::vector<double> share(first, first + columns.experts_of(m));
  double total = 0;
  for (const double s : share) total += s;
  for (double& s : share) s /= std::max(total, 1.0);
  return share;
}

std::vector<RouterStatistics> observed(const LayerState& state, const ExpertColumns& columns) {
  std::vector<RouterStatistics> all;
  const Loads loads(state);
  for (std::int64_t m = 0; m < columns.module_count(); ++m) {
    const auto first = columns.modules[static_cast<std::size_t>(m)];
    const std::vector<double> share = shares(loads, columns, m);
    RouterStatistics s{.z = columns.has_choice(m) ? z_loss(state, m) : 0};
    for (std::size_t e = 0; e < share.size(); ++e) {
      s.choices.push_back(loads.choices[static_cast<std::size_t>(first) + e]);
      s.balance +=
          static_cast<double>(share.size()) * share[e] * loads.p[static_cast<std::size_t>(first) + e];
    }
    all.push_back(std::move(s));
  }
  return all;
}

/// Every row goes to the lone expert of each module.
std::vector<RouterStatistics> observed_without_choice(std::int64_t tokens, const ExpertColumns& columns) {
  return std::vector<RouterStatistics>(static_cast<std::size_t>(columns.module_count()),
                                       {{static_cast<double>(tokens)}, 1, 0});
}

LossGradients loss_gradients(const RouterLosses& losses, const LayerState& state,
                             const ExpertColumns& columns) {
  LossGradients g;
  if (!columns.routed() || (losses.balance == 0 && losses.z == 0)) return g;
  const auto tokens = static_cast<double>(state.p_TN.size(0));
  g.z = 2 * losses.z / tokens;
  if (losses.balance == 0) return g;
  const Loads loads(state);
  for (std::int64_t m = 0; m < columns.module_count(); ++m) {
    const std::vector<double> share = shares(loads, columns, m);
    for (const double s : share)
      g.dp_N.push_back(losses.balance * static_cast<double>(share.size()) * s / tokens);
  }
  return g;
}

/// The gradients in the order of the inputs of the step: x, outputs, then each module's A, router, B.
Gradients in_order(const LayerGradients& g, const Gradients& dy_TO, const ExpertColumns& columns) {
  Gradients all{g.dx_TI};
  all.insert(all.end(), dy_TO.begin(), dy_TO.end());
  for (std::int64_t m = 0; m < columns.module_count(); ++m) {
    const auto slice = [&](const at::Tensor& rows, std::int64_t first, std::int64_t count) {
      return rows.defined() ? rows.narrow(0, first, count) : at::Tensor();
    };
    all.push_back(slice(g.da_RI, columns.first_column_of(m), columns.columns_of(m)));
    all.push_back(columns.has_choice(m) ? slice(g.drouter_NI, columns.modules[static_cast<std::size_t>(m)],
                                                columns.experts_of(m))
                                        : at::Tensor());
    all.push_back(g.db_OR.empty() ? at::Tensor() : g.db_OR[static_cast<std::size_t>(m)]);
  }
  return all;
}

std::vector<at::Tensor> inputs_of_step(const at::Tensor& x_TI, std::span<const at::Tensor> outputs_TO,
                                       const LayerParameters& parameters) {
  std::vector<at::Tensor> inputs{x_TI};
  inputs.insert(inputs.end(), outputs_TO.begin(), outputs_TO.end());
  for (std::size_t m = 0; m < parameters.a_RI.size(); ++m)
    inputs.insert(inputs.end(), {parameters.a_RI[m], parameters.router_NI[m], parameters.b_OR[m]});
  return inputs;
}

}  // namespace

void ExpertColumns::add_module(std::span<const std::int64_t> ranks, std::span<const double> scale) {
  for (const std::int64_t r : ranks) first.push_back(first.back() + r);
  scales.insert(scales.end(), scale.begin(), scale.end());
  modules.push_back(modules.back() + static_cast<std::int64_t>(ranks.size()));
}

std::vector<RouterStatistics> add_mixture(const at::Tensor& x_TI, std::span<at::Tensor> outputs_TO,
                                          const ExpertColumns& columns, const LayerParameters& parameters,
                                          const RoutingRule& rule, const KeptFeatures& kept,
                                          const RouterLosses& losses, bool observe) {
  const std::vector<at::Tensor> inputs = inputs_of_step(x_TI, outputs_TO, parameters);
  const bool differentiable = needs_gradient(inputs);
  const at::Tensor x = x_TI.detach();
  const LayerView layer{columns, rule, stacked(parameters.a_RI), stacked(parameters.router_NI),
                        detached(parameters.b_OR)};
  std::vector<at::Tensor> y_TO = detached(outputs_TO);
  const LayerState state = forward(layer, x, kept, y_TO);
  std::ranges::copy(y_TO, outputs_TO.begin());
  if (differentiable) {
    const WantedGradients wanted{x_TI.requires_grad(), parameters.a_RI[0].requires_grad(),
                                 parameters.router_NI[0].requires_grad()};
    differentiate(inputs, outputs_TO, [=](const Gradients& dy_TO) {
      const LossGradients extra = loss_gradients(losses, state, layer.columns);
      return in_order(backward(layer, x, kept, state, dy_TO, extra, wanted), dy_TO, layer.columns);
    });
  }
  if (!observe) return {};
  return columns.routed() ? observed(state, columns) : observed_without_choice(x.size(0), columns);
}

}  // namespace rocket
