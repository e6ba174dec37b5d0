#include "moe/systems_delta.h"

#include <algorithm>

namespace rocket {
namespace {

std::vector<std::shared_ptr<const LoraAdapter>> adapters_of(std::span<const ModelSystem> systems) {
  std::vector<std::shared_ptr<const LoraAdapter>> adapters;
  for (const ModelSystem& system : systems) adapters.push_back(system.adapter);
  return adapters;
}

}  // namespace

SystemsDelta::SystemsDelta(std::span<const ModelSystem> systems) : bank_(adapters_of(systems)) {
  for (const ModelSystem& system : systems) {
    mixture_of_.push_back(system.mixture);
    if (system.mixture != nullptr) mixtures_.try_emplace(system.mixture, *system.mixture);
  }
  const bool one =
      mixtures_.size() == 1 && std::ranges::count(mixture_of_, static_cast<const Mixture*>(nullptr)) == 0;
  if (one) only_ = &mixtures_.begin()->second;
}

void SystemsDelta::arrange(const PackedRows& rows) {
  if (only_ != nullptr) return only_->arrange(rows);
  bank_.arrange(rows);
  stretches_.clear();
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    if (rows.sequences[s] == kNoSequence) continue;
    const Mixture* mixture = mixture_of_.at(static_cast<std::size_t>(rows.sequences[s]));
    if (mixture == nullptr) continue;
    MixtureDelta& delta = mixtures_.at(mixture);
    const std::int64_t first = rows.starts[s], count = rows.starts[s + 1] - first;
    const bool goes_on = !stretches_.empty() && stretches_.back().mixture == &delta &&
                         stretches_.back().first_row + stretches_.back().rows == first;
    if (goes_on)
      stretches_.back().rows += count;
    else
      stretches_.push_back({&delta, first, count});
  }
}

void SystemsDelta::add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                       std::span<at::Tensor> outputs_TO) {
  if (only_ != nullptr) return only_->add(backend, x_TI, modules, outputs_TO);
  bank_.add(backend, x_TI, modules, outputs_TO);
  for (const Stretch& stretch : stretches_) {
    std::vector<at::Tensor> own_TO;
    for (const at::Tensor& output_TO : outputs_TO)
      own_TO.push_back(output_TO.narrow(0, stretch.first_row, stretch.rows));
    const std::vector<at::Tensor> before = own_TO;
    stretch.mixture->add(backend, x_TI.narrow(0, stretch.first_row, stretch.rows), modules, own_TO);
    for (std::size_t i = 0; i < own_TO.size(); ++i) {
      // A backend that does not add in place has made new rows.
      if (own_TO[i].data_ptr() != before[i].data_ptr()) before[i].copy_(own_TO[i]);
    }
  }
}

}  // namespace rocket
