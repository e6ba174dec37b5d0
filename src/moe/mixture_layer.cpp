#include "moe/mixture_layer.h"

#include <algorithm>

#include "backend/backward.h"

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

/// How many rows chose each expert of all modules.
at::Tensor choices(const MixtureState& state) {
  return state.gates_TN.ne(0).sum(0);
}

std::vector<at::Tensor> observed(const at::Tensor& choices_N, const at::Tensor& x_TI,
                                 const ExpertColumns& columns) {
  std::vector<at::Tensor> all;
  for (std::int64_t m = 0; m < columns.module_count(); ++m) {
    all.push_back(columns.routed() ? columns.of_module(choices_N, m)
                                   : at::full({1}, x_TI.size(0), x_TI.options().dtype(at::kLong)));
  }
  return all;
}

LossGradients loss_gradients(const RouterLosses& losses, const MixtureState& state,
                             const at::Tensor& choices_N) {
  LossGradients g;
  if (!state.p_TN.defined()) return g;
  if (losses.balance != 0) g = {choices_N, losses.balance};
  g.z = 2 * losses.z / static_cast<double>(state.p_TN.size(0));
  return g;
}

/// The gradients in the order of the inputs of the step: x, outputs, then each module's A, router, B.
Gradients in_order(const MixtureGradients& g, const Gradients& dy_TO, const ExpertColumns& columns) {
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

std::vector<at::Tensor> add_mixture(const Backend& backend, const at::Tensor& x_TI,
                                    std::span<at::Tensor> outputs_TO, const ExpertColumns& columns,
                                    const LayerParameters& parameters, const RoutingRule& rule,
                                    const InputDropout& dropout, const RouterLosses& losses, bool observe) {
  const std::vector<at::Tensor> inputs = inputs_of_step(x_TI, outputs_TO, parameters);
  const bool differentiable = needs_gradient(inputs);
  const at::Tensor x = x_TI.detach();
  const MixtureView layer{columns, rule, stacked(parameters.a_RI), stacked(parameters.router_NI),
                          detached(parameters.b_OR)};
  std::vector<at::Tensor> y_TO = detached(outputs_TO);
  const MixtureState state = backend.add_mixture(layer, x, dropout, y_TO);
  std::ranges::copy(y_TO, outputs_TO.begin());
  const at::Tensor choices_N =
      columns.routed() && (observe || losses.balance != 0) ? choices(state) : at::Tensor();
  if (differentiable) {
    const WantedGradients wanted{x_TI.requires_grad(), parameters.a_RI[0].requires_grad(),
                                 parameters.router_NI[0].requires_grad()};
    differentiate(inputs, outputs_TO, [=, &backend](const Gradients& dy_TO) {
      const LossGradients extra = loss_gradients(losses, state, choices_N);
      return in_order(backend.mixture_backward(layer, x, dropout, state, dy_TO, extra, wanted), dy_TO,
                      layer.columns);
    });
  }
  return observe ? observed(choices_N, x, columns) : std::vector<at::Tensor>();
}

}  // namespace rocket
