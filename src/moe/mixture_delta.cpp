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
      seen_(mixture.modules().size()),
      choices_N_(mixture.modules().size()) {
}

void MixtureDelta::arrange(const PackedRows& rows) {
  if (dropout_.active()) dropout_.arrange(rows);
  seen_.assign(seen_.size(), false);
}

void MixtureDelta::add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
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
  const std::vector<at::Tensor> choices = add_mixture(backend, x_TI, adapted_TO, columns, parameters,
                                                      {options.top_k, static_cast<float>(options.top_p)},
                                                      dropout_.of_input(modules[0]), losses_, training_);
  for (std::size_t i = 0; i < places.size(); ++i) {
    outputs_TO[places[i]] = adapted_TO[i];
    if (training_) count(positions[i], choices[i]);
  }
}

/// A layer that is computed again for its backward pass does not count twice.
void MixtureDelta::count(std::size_t position, const at::Tensor& choices_N) {
  if (seen_[position]) return;
  seen_[position] = true;
  at::Tensor& sum_N = choices_N_[position];
  sum_N = sum_N.defined() ? sum_N + choices_N : choices_N;
}

std::vector<std::vector<float>> MixtureDelta::choices() const {
  std::vector<std::vector<float>> all(choices_N_.size(), std::vector<float>(mixture_.expert_names().size()));
  std::vector<at::Tensor> counted;  // one way from the device for all
  for (const at::Tensor& choices_N : choices_N_) {
    if (choices_N.defined()) counted.push_back(choices_N);
  }
  if (counted.empty()) return all;
  const at::Tensor values = at::cat(counted).to(at::kCPU);
  const std::int64_t* value = values.const_data_ptr<std::int64_t>();
  for (std::size_t position = 0; position < all.size(); ++position) {
    if (!choices_N_[position].defined()) continue;
    for (const std::int64_t expert : mixture_.modules()[position].experts)
      all[position][static_cast<std::size_t>(expert)] = static_cast<float>(*value++);
  }
  return all;
}

}  // namespace rocket
