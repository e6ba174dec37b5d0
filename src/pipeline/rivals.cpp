#include "pipeline/rivals.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "adapters/merges.h"
#include "base/error.h"
#include "pipeline/lorahub.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "pipeline/rival_sources.h"
#include "pipeline/tuned_rivals.h"

namespace rocket {
namespace {

constexpr std::string_view kInContext = "in_context", kBestInContext = "best_single_in_context";

bool is_tuned(const std::string& rival) {
  return std::ranges::count(tuned_rivals, rival) > 0;
}

bool is_in_context(const std::string& rival) {
  return rival == kInContext || rival == kBestInContext;
}

/// Makes rivals, and what several of them are made of once.
class RivalMaker {
 public:
  RivalMaker(const Session& session, const Decoder& decoder)
      : session_(session), config_(session.config), decoder_(decoder), sources_(session, decoder) {}

  /// One rival, or of each_expert several.
  std::vector<Rival> make(const std::string& name) {
    if (name == "each_expert") return each_expert();
    if (name == "base" || name == kInContext) return {{name, nullptr, nullptr, is_in_context(name)}};
    if (name == "best_single" || name == kBestInContext) {
      return {{name, share(sources_.best_single()), nullptr, is_in_context(name)}};
    }
    if (name == "lorahub") return {{name, share(fitted_lorahub(session_, sources_))}};
    if (is_tuned(name)) return {tuned(name)};
    if (name == "untrained") return {{name, nullptr, mixture(mixture_options(config_).router)}};
    if (name == "arrow") return {{name, nullptr, mixture(RouterKind::arrow)}};
    return {{name, share(merge(name))}};
  }

 private:
  /// As the base computes.
  std::shared_ptr<const LoraAdapter> share(LoraAdapter adapter) const {
    adapter.convert(compute_type(config_));
    return std::make_shared<const LoraAdapter>(std::move(adapter));
  }

  /// What its job left; of one expert as an adapter, which batches with others.
  Rival tuned(const std::string& name) {
    TunedRival rival = start_of_tuned(name, sources_);
    restore_trained(session_, job_spec(job_of_rival(name)), session_.run.rival_training(name), rival.mixture);
    if (rival.mixture.expert_names().size() == 1) return {name, share(rival.mixture.expert(0))};
    return {name, nullptr, std::make_shared<const Mixture>(std::move(rival.mixture))};
  }

  std::vector<Rival> each_expert() {
    std::vector<Rival> rivals;
    for (const LoraAdapter& expert : sources_.experts())
      rivals.push_back({"expert:" + expert.name, share(expert)});
    return rivals;
  }

  std::shared_ptr<const Mixture> mixture(RouterKind router) {
    MixtureOptions options = mixture_options(config_);
    options.router = router;
    return std::make_shared<const Mixture>(
        Mixture::assemble(sources_.experts(), decoder_.modules(), options, decoder_.device()));
  }

  LoraAdapter merge(const std::string& name) {
    const auto& settings = config_.evaluation;
    const std::vector<LoraAdapter>& experts = sources_.experts();
    if (name == "uniform_merge") return uniform_merge(experts, name);
    if (name == "random_experts") return uniform_merge(sources_.drawn_experts(), name);
    if (name == "random_weights") return uniform_merge(sources_.drawn_weights(), name);
    if (name == "ties") return ties_merge(experts, settings.ties_density, name);
    if (name == "dare")
      return dare_merge(experts, decoder_.modules(), settings.dare_drop, config_.seed, name);
    fail_internal("no rival is called '{}'", name);
  }

  const Session& session_;
  const RunConfig& config_;
  const Decoder& decoder_;
  RivalSources sources_;
};

}  // namespace

Rival expert_system(const Session& session, const Decoder& decoder) {
  return {"expert", nullptr,
          std::make_shared<const Mixture>(trained_mixture(session, decoder.modules(), decoder.device()))};
}

Rival configured_system(const Session& session, const Decoder& decoder) {
  const RunConfig& config = session.config;
  const std::string& name = config.generate.system;
  if (name == "expert") return expert_system(session, decoder);
  if (name == "each_expert")
    fail_config("{}: generate.system: each_expert is several systems: name the adapter that should answer",
                config.location("generate.system"));
  if (std::ranges::count(rival_names(), name) > 0) return RivalMaker(session, decoder).make(name).at(0);
  const std::string adapter = system_of_bank(config).name;
  return {adapter, std::make_shared<const LoraAdapter>(adapter_of_bank(
                       config, adapter, decoder.modules(), compute_type(config), decoder.device()))};
}

bool any_in_context(const RunConfig& config) {
  return std::ranges::any_of(config.evaluation.rivals, is_in_context);
}

RunConfig behind_examples(RunConfig config) {
  config.task.fewshot = config.evaluation.in_context;
  return config;
}

RivalCount count_rivals(const RunConfig& config) {
  const std::int64_t experts =
      config.experts.names.empty() ? config.experts.count : std::ssize(config.experts.names);
  RivalCount count;
  for (const std::string& rival : config.evaluation.rivals) {
    count.systems += rival == "each_expert" ? experts : 1;
    count.in_context += is_in_context(rival);
  }
  return count;
}

std::vector<Rival> configured_rivals(const Session& session, const Decoder& decoder) {
  RivalMaker maker(session, decoder);
  std::vector<Rival> rivals;
  for (const std::string& name : session.config.evaluation.rivals)
    std::ranges::move(maker.make(name), std::back_inserter(rivals));
  return rivals;
}

}  // namespace rocket
