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

}  // namespace

LoraAdapter fresh_adapter(const FreshAdapter& wanted, std::span<const Module> modules) {
  check_targets(wanted, modules);
  const auto r = static_cast<double>(wanted.lora_r);
  const double scale = wanted.alpha / (wanted.rslora ? std::sqrt(r) : r);
  LoraAdapter adapter{wanted.name, {}};
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Module& module = modules[i];
    if (std::ranges::find(wanted.targets, module.last_component()) == wanted.targets.end()) continue;
    const at::Tensor a_RI = fresh_weight(wanted.lora_r, module.inputs, wanted.seed, "adapter " + module.name);
    adapter.weights.push_back(
        {static_cast<std::int64_t>(i), a_RI, at::zeros({module.outputs, wanted.lora_r}, at::kFloat), scale});
  }
  return adapter;
}

}  // namespace rocket
