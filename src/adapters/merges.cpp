#include "adapters/merges.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "model/fresh_weight.h"

namespace rocket {
namespace {

/// scale B A, [O, I] float32.
at::Tensor update_of(const LoraWeight& weight) {
  return at::mm(weight.b_OR.to(at::kFloat), weight.a_RI.to(at::kFloat)) * weight.scale;
}

/// The update of any rank as a product: one of the factors is the identity.
LoraWeight as_weight(std::int64_t module, const at::Tensor& update_OI) {
  const std::int64_t outputs = update_OI.size(0), inputs = update_OI.size(1);
  if (inputs <= outputs) return {module, at::eye(inputs, update_OI.options()), update_OI.contiguous(), 1.0};
  return {module, update_OI.contiguous(), at::eye(outputs, update_OI.options()), 1.0};
}

/// The updates of the adapters that adapt a module, merged module by module: one module's are in memory at
/// once.
using MergeUpdates = std::function<at::Tensor(std::int64_t module, const std::vector<const LoraAdapter*>&)>;

LoraAdapter merged_by_module(std::span<const LoraAdapter> adapters, const std::string& name,
                             const MergeUpdates& merge) {
  std::map<std::int64_t, std::vector<const LoraAdapter*>> adapting;
  for (const LoraAdapter& adapter : adapters)
    for (const LoraWeight& weight : adapter.weights) adapting[weight.module].push_back(&adapter);
  LoraAdapter merged{name, {}};
  for (const auto& [module, some] : adapting)
    merged.weights.push_back(as_weight(module, merge(module, some)));
  return merged;
}

/// Zero but for the `density` share of entries of largest magnitude.
at::Tensor trimmed(const at::Tensor& update, double density) {
  const auto kept = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(density * static_cast<double>(update.numel())), 1, update.numel());
  const at::Tensor flat = update.flatten();
  const at::Tensor order = at::argsort(flat.abs(), /*stable=*/true, /*dim=*/0, /*descending=*/true);
  const at::Tensor places = order.narrow(0, 0, kept);
  return at::zeros_like(flat).index_copy(0, places, flat.index_select(0, places)).view(update.sizes());
}

at::Tensor elected_mean(const std::vector<at::Tensor>& updates) {
  const at::Tensor all = at::stack(updates);
  const at::Tensor positive = all.sum(0) >= 0;
  const at::Tensor agrees = at::where(positive, all > 0, all < 0).to(all.scalar_type());
  return (all * agrees).sum(0) / agrees.sum(0).clamp_min(1);
}

/// Ones where an entry is kept: its own uniform number is at least `drop`.
at::Tensor kept_entries(const at::Tensor& update, double drop, std::uint64_t seed, const std::string& name) {
  const at::Tensor mask = at::empty(update.sizes(), at::kFloat);
  const std::uint64_t entries = stream("dare " + name);
  float* values = mask.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < mask.numel(); ++i)
    values[i] = uniform(seed, entries, static_cast<std::uint64_t>(i)) >= drop ? 1.0f : 0.0f;
  return mask.to(update.device());
}

const std::string& name_of(std::span<const Module> modules, std::int64_t module) {
  return modules[static_cast<std::size_t>(module)].name;
}

/// Uniform numbers in the shape of `like`, and of its Frobenius norm.
at::Tensor of_equal_norm(const at::Tensor& like, std::uint64_t seed, const std::string& name) {
  const at::Tensor drawn = fresh_weight(like.size(0), like.size(1), seed, name).to(like.device());
  const double norm = like.to(at::kDouble).norm().item<double>(),
               own = drawn.to(at::kDouble).norm().item<double>();
  return (drawn * (norm / own)).to(like.scalar_type());
}

/// Adds `weight` * `part` to the first rows or columns of `sum`, which grows to its size.
void add_padded(at::Tensor& sum, const at::Tensor& part, double weight, std::int64_t dimension) {
  const std::int64_t r = part.size(dimension);
  if (!sum.defined()) {
    sum = part * weight;
    return;
  }
  if (sum.size(dimension) < r) {
    std::vector<std::int64_t> shape = sum.sizes().vec();
    shape[static_cast<std::size_t>(dimension)] = r - sum.size(dimension);
    sum = at::cat({sum, at::zeros(shape, sum.options())}, dimension);
  }
  sum.narrow(dimension, 0, r).add_(part, weight);
}

}  // namespace

LoraAdapter uniform_merge(std::span<const LoraAdapter> adapters, const std::string& name) {
  std::map<std::int64_t, std::pair<std::vector<at::Tensor>, std::vector<at::Tensor>>> factors;
  for (const LoraAdapter& adapter : adapters) {
    for (const LoraWeight& weight : adapter.weights) {
      auto& [a, b] = factors[weight.module];
      a.push_back(weight.a_RI.to(at::kFloat));
      b.push_back(weight.b_OR.to(at::kFloat) * (weight.scale / static_cast<double>(adapters.size())));
    }
  }
  LoraAdapter merged{name, {}};
  for (const auto& [module, factor] : factors)
    merged.weights.push_back({module, at::cat(factor.first, 0), at::cat(factor.second, 1), 1.0});
  return merged;
}

LoraAdapter ties_merge(std::span<const LoraAdapter> adapters, double density, const std::string& name) {
  return merged_by_module(adapters, name, [&](std::int64_t module, const auto& adapting) {
    std::vector<at::Tensor> updates;
    for (const LoraAdapter* adapter : adapting)
      updates.push_back(trimmed(update_of(*adapter->find(module)), density));
    return elected_mean(updates);
  });
}

LoraAdapter dare_merge(std::span<const LoraAdapter> adapters, std::span<const Module> modules, double drop,
                       std::uint64_t seed, const std::string& name) {
  return merged_by_module(adapters, name, [&](std::int64_t module, const auto& adapting) {
    at::Tensor sum;
    for (const LoraAdapter* adapter : adapting) {
      at::Tensor update = update_of(*adapter->find(module));
      update = update * kept_entries(update, drop, seed, adapter->name + " " + name_of(modules, module)) /
               (1 - drop);
      sum = sum.defined() ? sum + update : update;
    }
    return sum / static_cast<double>(adapters.size());
  });
}

LoraAdapter weighted_merge(std::span<const LoraAdapter> adapters, std::span<const double> weights,
                           const std::string& name) {
  std::map<std::int64_t, LoraWeight> merged;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    for (const LoraWeight& weight : adapters[i].weights) {
      LoraWeight& sum = merged[weight.module];
      sum.module = weight.module;
      add_padded(sum.a_RI, weight.a_RI.to(at::kFloat), weights[i], 0);
      add_padded(sum.b_OR, weight.b_OR.to(at::kFloat), weights[i] * weight.scale, 1);
    }
  }
  LoraAdapter adapter{name, {}};
  for (auto& [module, weight] : merged) {
    weight.a_RI = weight.a_RI.contiguous();
    weight.b_OR = weight.b_OR.contiguous();
    adapter.weights.push_back(std::move(weight));
  }
  return adapter;
}

LoraAdapter random_weights(const LoraAdapter& adapter, std::span<const Module> modules, std::uint64_t seed) {
  LoraAdapter drawn{adapter.name, {}};
  for (const LoraWeight& weight : adapter.weights) {
    const std::string name = "random " + adapter.name + " " + name_of(modules, weight.module);
    drawn.weights.push_back({weight.module, of_equal_norm(weight.a_RI, seed, name + " A"),
                             of_equal_norm(weight.b_OR, seed, name + " B"), weight.scale});
  }
  return drawn;
}

}  // namespace rocket
