// Scores of adapters on shots: mean nll of the target, and the greedy generation or the choices.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapters/lora.h"
#include "model/generate.h"
#include "text/example.h"

namespace rocket {

/// A shot as tokens.
struct ShotTokens {
  Example example;
  std::vector<TokenId> prompt;
  ChoiceTokens choices;  // not empty: they are scored, and nothing is generated
};

struct ShotScore {
  double nll = 0;  // mean over the target tokens, natural log
  std::vector<TokenId> generated;
  std::vector<double> logprobs;  // of each choice
};

/// Scores every adapter (null = base alone) on every shot: [adapter][shot]. Forwards hold at most
/// options.batch_tokens rows; batches are a function of the arguments alone.
std::vector<std::vector<ShotScore>> score_block(const Decoder& decoder,
                                                std::span<const std::shared_ptr<const LoraAdapter>> adapters,
                                                std::span<const ShotTokens> shots,
                                                const GenerateOptions& options);

/// The same without generation and choices: nll only.
std::vector<std::vector<double>> nll_block(const Decoder& decoder,
                                           std::span<const std::shared_ptr<const LoraAdapter>> adapters,
                                           std::span<const ShotTokens> shots, std::int64_t batch_tokens);

}  // namespace rocket
