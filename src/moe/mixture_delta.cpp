#include "moe/mixture_delta.h"

#include <utility>

namespace rocket {

MixtureDelta::MixtureDelta(const Mixture& mixture) : mixture_(mixture) {
}

MixtureDelta::MixtureDelta(const Mixture& mixture, DropoutKey dropout, const RouterLosses& losses)
    : mixture_(mixture),
      dropout_(std::move(dropout)),
      losses_(losses),
      training_(true),
      statistics_(mixture.modules().size()),
      seen_(mixture.modules().size()),
      choices_(mixture.modules().size(), std::vector<double>(mixture.expert_names().size(), 0)) {
}

void MixtureDelta::arrange(const PackedRows& rows) {
  if (dropout_.active()) dropout_.arrange(rows);
  seen_.assign(seen_.size(), false);
}

void MixtureDelta::add(const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                       std::span<at::Tensor> outputs_TO) {
  ExpertColumns columns;
  LayerParameters parameters;
  std::vector<at::Tensor> adapted_TO;
  std::vector<std::size_t> places, positions;  // among `modules` and in the mixture
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const std::int64_t position = mixture_.position(modules[i]);
    if (position < 0) continue;
    const MixtureModule& m = mixture_.modules()[static_cast<std::size_t>(position)];
    columns.add_module(m.ranks, m.scales);
    parameters.a_RI.push_back(m.a_RI);
    parameters.router_NI.push_back(m.router_NI);
    parameters.b_OR.push_back(m.b_OR);
    adapted_TO.push_back(outputs_TO[i]);
    places.push_back(i);
    positions.push_back(static_cast<std::size_t>(position));
  }
  if (places.empty()) return;
  const MixtureOptions& options = mixture_.options();
  // The first module names the input that all of them read.
  const auto statistics =
      add_mixture(x_TI, adapted_TO, columns, parameters, {options.top_k, static_cast<float>(options.top_p)},
                  dropout_.kept(x_TI.size(1), modules[0], x_TI.device()), losses_, training_);
  for (std::size_t i = 0; i < places.size(); ++i) {
    outputs_TO[places[i]] = adapted_TO[i];
    if (training_) count(positions[i], statistics[i]);
  }
}

/// A layer that is computed again for its backward pass does not count twice.
void MixtureDelta::count(std::size_t position, const RouterStatistics& statistics) {
  if (seen_[position]) return;
  seen_[position] = true;
  statistics_[position] = statistics;
  const std::vector<std::int64_t>& experts = mixture_.modules()[position].experts;
  for (std::size_t e = 0; e < experts.size(); ++e)
    choices_[position][static_cast<std::size_t>(experts[e])] += statistics.choices[e];
}

std::vector<std::vector<double>> MixtureDelta::choices() const {
  return choices_;
}

double MixtureDelta::balance_loss() const {
  double sum = 0;
  for (const RouterStatistics& s : statistics_) sum += s.balance;
  return sum;
}

double MixtureDelta::z_loss() const {
  double sum = 0;
  for (const RouterStatistics& s : statistics_) sum += s.z;
  return sum;
}

}  // namespace rocket
