#include "pipeline/rival_sources.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "adapters/merges.h"
#include "base/log.h"
#include "base/random.h"
#include "pipeline/options.h"
#include "pipeline/results.h"

namespace rocket {

LoraAdapter RivalSources::of_bank(const std::string& name) const {
  return adapter_of_bank(config(), name, decoder_.modules(), at::kFloat, decoder_.device());
}

std::vector<LoraAdapter> RivalSources::of_bank(const std::vector<std::string>& names) const {
  std::vector<LoraAdapter> adapters;
  for (const std::string& name : names) adapters.push_back(of_bank(name));
  return adapters;
}

const std::vector<LoraAdapter>& RivalSources::experts() {
  if (experts_.empty()) experts_ = of_bank(read_expert_choice(session_.run).experts);
  return experts_;
}

LoraAdapter RivalSources::best_single() const {
  return of_bank(rocket::best_single(read_scores(session_.run).bank));
}

std::vector<LoraAdapter> RivalSources::drawn_experts() const {
  const std::vector<BankEntry> bank = configured_bank(config());
  std::vector<std::int64_t> order =
      permutation(std::ssize(bank), config().seed, stream("rivals.random_experts"));
  order.resize(std::min(order.size(), read_expert_choice(session_.run).experts.size()));
  std::ranges::sort(order);
  std::vector<std::string> names;
  for (const std::int64_t i : order) names.push_back(bank[static_cast<std::size_t>(i)].name);
  log::info("random experts are {}", fmt::join(names, ", "));
  return of_bank(names);
}

std::vector<LoraAdapter> RivalSources::drawn_weights() {
  std::vector<LoraAdapter> drawn;
  for (const LoraAdapter& expert : experts())
    drawn.push_back(random_weights(expert, decoder_.modules(), config().seed));
  return drawn;
}

}  // namespace rocket
