#include "adapters/fresh_adapter.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "model/fresh_weight.h"

namespace rocket {
namespace {

void check_targets(const FreshAdapter& wanted, std::span<const Module> modules) {
  std::set<std::string> known;
  for (const Module& module : modules) known.insert(module.last_component());
  for (const std::string& target : wanted.targets) {
    if (!known.contains(target))
      fail_config("the base has no linear layer '{}' to adapt; it has {}", target, fmt::join(known, ", "));
  }
  if (wanted.targets.empty())
    fail_config("no linear layer is named that should be adapted; the base has {}", fmt::join(known, ", "));
}

/// `draw` tells the numbers of one adapter from those of another.
LoraWeight fresh_lora(std::int64_t place, const Module& module, std::int64_t lora_r, double scale,
                      std::uint64_t seed, const std::string& draw) {
  return {place, fresh_weight(lora_r, module.inputs, seed, draw + " " + module.name),
          at::zeros({module.outputs, lora_r}, at::kFloat), scale};
}

}  // namespace

LoraAdapter fresh_adapter(const FreshAdapter& wanted, std::span<const Module> modules) {
  check_targets(wanted, modules);
  const auto r = static_cast<double>(wanted.lora_r);
  const double scale = wanted.alpha / (wanted.rslora ? std::sqrt(r) : r);
  LoraAdapter adapter{wanted.name, {}};
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Module& module = modules[i];
    if (std::ranges::find(wanted.targets, module.last_component()) == wanted.targets.end()) continue;
    adapter.weights.push_back(
        fresh_lora(static_cast<std::int64_t>(i), module, wanted.lora_r, scale, wanted.seed, "adapter"));
  }
  return adapter;
}

LoraAdapter fresh_of_shape(const LoraAdapter& shape, std::span<const Module> modules, std::uint64_t seed) {
  LoraAdapter adapter{shape.name, {}};
  for (const LoraWeight& weight : shape.weights)
    adapter.weights.push_back(fresh_lora(weight.module, modules[static_cast<std::size_t>(weight.module)],
                                         weight.lora_r(), weight.scale, seed, "adapter " + shape.name));
  return adapter;
}

LoraAdapter fresh_of_size(const std::string& name, std::span<const std::int64_t> adapted,
                          std::int64_t parameters, double scale, std::uint64_t seed,
                          std::span<const Module> modules) {
  std::int64_t of_rank_one = 0;
  for (const std::int64_t i : adapted) {
    const Module& module = modules[static_cast<std::size_t>(i)];
    of_rank_one += module.inputs + module.outputs;
  }
  const std::int64_t lora_r = std::max<std::int64_t>(1, (parameters + of_rank_one / 2) / of_rank_one);
  LoraAdapter adapter{name, {}};
  for (const std::int64_t i : adapted)
    adapter.weights.push_back(
        fresh_lora(i, modules[static_cast<std::size_t>(i)], lora_r, scale, seed, "adapter"));
  return adapter;
}

}  // namespace rocket
