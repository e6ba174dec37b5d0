#include "moe/mixture_delta.h"

#include "model/product.h"
#include "moe/dropout.h"
#include "moe/router.h"

namespace rocket {
namespace {

/// The parameters of an adapted weight as the products need them.
struct Parameters {
  at::Tensor a_RI, b_OR;  // compute type
  at::Tensor router_NI;   // float32
  at::Tensor spread_NR;   // float32: row i holds expert i's scale in its own columns, zeros elsewhere
};

/// What the rows so far have told about a router.
struct Statistics {
  at::Tensor choices_N;  // float64
  at::Tensor balance, z;
};

at::Tensor spread(const MixtureModule& m) {
  at::Tensor spread_NR = at::zeros({static_cast<std::int64_t>(m.experts.size()), m.a_RI.size(0)}, at::kFloat);
  std::int64_t column = 0;
  for (std::size_t i = 0; i < m.experts.size(); ++i) {
    spread_NR[static_cast<std::int64_t>(i)].narrow(0, column, m.ranks[i]).fill_(m.scales[i]);
    column += m.ranks[i];
  }
  return spread_NR.to(m.a_RI.device());
}

at::Tensor plus(const at::Tensor& sum, const at::Tensor& term) {
  return sum.defined() ? sum + term : term;
}

void observe(Statistics& s, const Routing& routing, const at::Tensor& logits_TN) {
  const std::int64_t experts = routing.p_TN.size(1);
  const at::Tensor chosen_N = at::bincount(routing.chosen_TK.reshape(-1), {}, experts).to(at::kDouble);
  const at::Tensor share_N = (chosen_N / static_cast<double>(routing.chosen_TK.numel())).to(at::kFloat);
  s.choices_N = plus(s.choices_N, chosen_N);
  s.balance = plus(s.balance, (share_N * routing.p_TN.mean(0)).sum() * static_cast<double>(experts));
  s.z = plus(s.z, at::logsumexp(logits_TN, 1).square().mean());
}

/// METHOD section 5: y + sum over experts of gate * scale * B (A x'), as two products for all experts.
at::Tensor add_experts(const at::Tensor& y_TO, const at::Tensor& x_dropped_TI, const at::Tensor& gates_TN,
                       const Parameters& p) {
  const at::Tensor hidden_TR = product(x_dropped_TI, p.a_RI);
  const at::Tensor gated_TR = hidden_TR * at::mm(gates_TN, p.spread_NR).to(hidden_TR.scalar_type());
  return y_TO + product(gated_TR, p.b_OR);
}

}  // namespace

struct MixtureDelta::State {
  Dropout dropout{DropoutKey{}};
  bool training = false;
  std::vector<Parameters> parameters;  // by position in Mixture::modules(), filled on first use
  std::vector<Statistics> statistics;
};

MixtureDelta::MixtureDelta(const Mixture& mixture) : mixture_(mixture), state_(std::make_shared<State>()) {
  state_->parameters.resize(mixture.modules().size());
}

MixtureDelta::MixtureDelta(const Mixture& mixture, DropoutKey dropout) : MixtureDelta(mixture) {
  state_->dropout = Dropout(std::move(dropout));
  state_->training = true;
  state_->statistics.resize(mixture.modules().size());
}

void MixtureDelta::arrange(const PackedRows& rows) {
  if (state_->dropout.active()) state_->dropout.arrange(rows);
}

void MixtureDelta::add(const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                       std::span<at::Tensor> outputs_TO) {
  at::Tensor x_dropped_TI, x_float_TI;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const std::int64_t position = mixture_.position(modules[i]);
    if (position < 0) continue;
    if (!x_dropped_TI.defined()) {
      // All modules of a call read the same input: the first one names it.
      x_dropped_TI = state_->dropout.apply(x_TI, modules[0]);
      x_float_TI = x_TI.to(at::kFloat);
    }
    const auto w = static_cast<std::size_t>(position);
    Parameters& p = state_->parameters[w];
    if (!p.a_RI.defined()) {
      const MixtureModule& m = mixture_.modules()[w];
      p = {m.a_RI.to(x_TI.scalar_type()), m.b_OR.to(x_TI.scalar_type()), m.router_NI, spread(m)};
    }
    const at::Tensor logits_TN = product(x_float_TI, p.router_NI);
    const Routing routing = route(logits_TN, mixture_.options().top_k);
    if (state_->training) observe(state_->statistics[w], routing, logits_TN);
    outputs_TO[i] = add_experts(outputs_TO[i], x_dropped_TI, routing.gates_TN, p);
  }
}

std::vector<std::vector<double>> MixtureDelta::choices() const {
  std::vector<std::vector<double>> all;
  for (std::size_t w = 0; w < mixture_.modules().size(); ++w) {
    const MixtureModule& m = mixture_.modules()[w];
    std::vector<double> counts(mixture_.expert_names().size(), 0);
    if (state_->training && state_->statistics[w].choices_N.defined()) {
      const at::Tensor chosen_N = state_->statistics[w].choices_N.cpu();
      for (std::size_t i = 0; i < m.experts.size(); ++i) {
        counts[static_cast<std::size_t>(m.experts[i])] = chosen_N.const_data_ptr<double>()[i];
      }
    }
    all.push_back(std::move(counts));
  }
  return all;
}

at::Tensor MixtureDelta::balance_loss() const {
  at::Tensor sum = at::zeros({}, mixture_.flat().options());
  for (const Statistics& s : state_->statistics) {
    if (s.balance.defined()) sum = sum + s.balance;
  }
  return sum;
}

at::Tensor MixtureDelta::z_loss() const {
  at::Tensor sum = at::zeros({}, mixture_.flat().options());
  for (const Statistics& s : state_->statistics) {
    if (s.z.defined()) sum = sum + s.z;
  }
  return sum;
}

}  // namespace rocket
