// The systems that the expert is compared with: evaluation.rivals, by name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters/lora.h"
#include "config/run_config.h"
#include "model/decoder.h"
#include "moe/mixture.h"
#include "pipeline/session.h"

namespace rocket {

/// An adapter or a mixture on the base; the base alone where there is neither.
struct Rival {
  std::string name;
  std::shared_ptr<const LoraAdapter> adapter;
  std::shared_ptr<const Mixture> mixture;
  bool in_context = false;  // evaluation.in_context of the shots stand in front of every item
};

/// Whether any of evaluation.rivals is asked behind examples.
bool any_in_context(const RunConfig& config);

/// The configuration that reads the items for them.
RunConfig behind_examples(RunConfig config);

/// How many systems evaluation.rivals names, and how many of them are asked behind examples.
struct RivalCount {
  std::int64_t systems = 0, in_context = 0;
};
RivalCount count_rivals(const RunConfig& config);

/// evaluation.rivals in their order, ready to answer. Those that are made of the experts take the experts of
/// experts.json as they are in the bank. Throws data (65) for an adapter that is not in the bank any more.
std::vector<Rival> configured_rivals(const Session& session, const Decoder& decoder);

/// The mixture that `finetune` left.
Rival expert_system(const Session& session, const Decoder& decoder);

/// What generate.system names: the expert, a rival whether evaluation.rivals has it or not, or an adapter of
/// the bank. Throws config (78) for each_expert, which is several, and as system_of_bank().
Rival configured_system(const Session& session, const Decoder& decoder);

}  // namespace rocket
