#include "pipeline/rivals.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "adapters/merges.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "pipeline/options.h"
#include "pipeline/results.h"

namespace rocket {
namespace {

constexpr std::string_view kInContext = "in_context", kBestInContext = "best_single_in_context";

bool is_in_context(const std::string& rival) {
  return rival == kInContext || rival == kBestInContext;
}

/// Makes rivals, and what several of them are made of once.
class RivalMaker {
 public:
  RivalMaker(const Session& session, const Decoder& decoder)
      : session_(session), config_(session.config), decoder_(decoder) {}

  /// One rival, or of each_expert several.
  std::vector<Rival> make(const std::string& name) {
    if (name == "each_expert") return each_expert();
    if (name == "base" || name == kInContext) return {{name, nullptr, nullptr, is_in_context(name)}};
    if (name == "best_single" || name == kBestInContext) {
      const std::string best = best_single(read_scores(session_.run).bank);
      return {{name, share(of_bank(best, compute_type(config_))), nullptr, is_in_context(name)}};
    }
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

  LoraAdapter of_bank(const std::string& name, at::ScalarType type) const {
    return adapter_of_bank(config_, name, decoder_.modules(), type, decoder_.device());
  }

  std::vector<LoraAdapter> loaded(const std::vector<std::string>& names) const {
    std::vector<LoraAdapter> adapters;
    for (const std::string& name : names) adapters.push_back(of_bank(name, at::kFloat));
    return adapters;
  }

  const std::vector<LoraAdapter>& experts() {
    if (experts_.empty()) experts_ = loaded(read_expert_choice(session_.run).experts);
    return experts_;
  }

  std::vector<Rival> each_expert() {
    std::vector<Rival> rivals;
    for (const LoraAdapter& expert : experts()) rivals.push_back({"expert:" + expert.name, share(expert)});
    return rivals;
  }

  std::shared_ptr<const Mixture> mixture(RouterKind router) {
    MixtureOptions options = mixture_options(config_);
    options.router = router;
    return std::make_shared<const Mixture>(
        Mixture::assemble(experts(), decoder_.modules(), options, decoder_.device()));
  }

  /// As many adapters of the bank as there are experts, drawn by the seed; the experts may be among them.
  std::vector<LoraAdapter> drawn_adapters() {
    const std::vector<BankEntry> bank = configured_bank(config_);
    std::vector<std::int64_t> order =
        permutation(std::ssize(bank), config_.seed, stream("rivals.random_experts"));
    order.resize(std::min(order.size(), experts().size()));
    std::ranges::sort(order);
    std::vector<std::string> names;
    for (const std::int64_t i : order) names.push_back(bank[static_cast<std::size_t>(i)].name);
    log::info("evaluate: random_experts are {}", fmt::join(names, ", "));
    return loaded(names);
  }

  std::vector<LoraAdapter> drawn_weights() {
    std::vector<LoraAdapter> drawn;
    for (const LoraAdapter& expert : experts())
      drawn.push_back(random_weights(expert, decoder_.modules(), config_.seed));
    return drawn;
  }

  LoraAdapter merge(const std::string& name) {
    const auto& settings = config_.evaluation;
    if (name == "uniform_merge") return uniform_merge(experts(), name);
    if (name == "random_experts") return uniform_merge(drawn_adapters(), name);
    if (name == "random_weights") return uniform_merge(drawn_weights(), name);
    if (name == "ties") return ties_merge(experts(), settings.ties_density, name);
    if (name == "dare")
      return dare_merge(experts(), decoder_.modules(), settings.dare_drop, config_.seed, name);
    fail_internal("no rival is called '{}'", name);
  }

  const Session& session_;
  const RunConfig& config_;
  const Decoder& decoder_;
  std::vector<LoraAdapter> experts_;  // in float32
};

}  // namespace

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
