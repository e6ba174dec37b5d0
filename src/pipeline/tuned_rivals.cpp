#include "pipeline/tuned_rivals.h"

#include <cmath>
#include <set>
#include <span>
#include <vector>

#include "adapters/fresh_adapter.h"
#include "adapters/merges.h"
#include "base/error.h"
#include "pipeline/options.h"

namespace rocket {
namespace {

TunedRival lone(const LoraAdapter& adapter, RivalSources& sources) {
  TrainingOptions options = training_options(sources.config());
  options.router_only = false;
  options.balance_coefficient = options.z_coefficient = 0;
  const Decoder& decoder = sources.decoder();
  return {Mixture::assemble(std::span(&adapter, 1), decoder.modules(), {.top_k = 1}, decoder.device()),
          options};
}

TunedRival routed(std::span<const LoraAdapter> experts, RivalSources& sources, bool router_only = false) {
  TrainingOptions options = training_options(sources.config());
  options.router_only = router_only;
  const Decoder& decoder = sources.decoder();
  return {Mixture::assemble(experts, decoder.modules(), mixture_options(sources.config()), decoder.device()),
          options};
}

std::vector<LoraAdapter> fresh_experts(RivalSources& sources) {
  std::vector<LoraAdapter> fresh;
  for (const LoraAdapter& expert : sources.experts())
    fresh.push_back(fresh_of_shape(expert, sources.decoder().modules(), sources.config().seed));
  return fresh;
}

/// As many parameters as the mixture has that `finetune` trains.
LoraAdapter fresh_lora(const std::string& name, RivalSources& sources) {
  const std::span<const Module> modules = sources.decoder().modules();
  std::set<std::int64_t> adapted;
  for (const LoraAdapter& expert : sources.experts())
    for (const LoraWeight& weight : expert.weights) adapted.insert(weight.module);
  std::int64_t parameters = 0;
  for (const LoraAdapter& expert : sources.experts())
    for (const LoraWeight& weight : expert.weights)
      parameters += weight.a_RI.numel() + weight.b_OR.numel() +
                    modules[static_cast<std::size_t>(weight.module)].inputs;  // its row of the router
  const auto& a = sources.config().adapter;
  const auto rank = static_cast<double>(a.rank);
  const double scale = a.alpha / (a.scaling == "rslora" ? std::sqrt(rank) : rank);
  return fresh_of_size(name, std::vector(adapted.begin(), adapted.end()), parameters, scale,
                       sources.config().seed, modules);
}

}  // namespace

TunedRival start_of_tuned(const std::string& name, RivalSources& sources) {
  if (name == "best_single_tuned") return lone(sources.best_single(), sources);
  if (name == "task_lora") return lone(fresh_lora(name, sources), sources);
  if (name == "merge_tuned") return lone(uniform_merge(sources.experts(), name), sources);
  if (name == "random_experts_tuned") return routed(sources.drawn_experts(), sources);
  if (name == "random_weights_tuned") return routed(sources.drawn_weights(), sources);
  if (name == "mixlora") return routed(fresh_experts(sources), sources);
  if (name == "router_only") return routed(sources.experts(), sources, true);
  fail_internal("no rival that is trained is called '{}'", name);
}

}  // namespace rocket
