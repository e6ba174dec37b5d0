// Answers of several systems to the same questions: greedy generations, or choices by their log-likelihood.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/generate.h"
#include "moe/systems_delta.h"
#include "text/example.h"

namespace rocket {

/// A question as tokens.
struct QuestionTokens {
  std::vector<TokenId> prompt;  // it is continued; empty where there are choices
  ChoiceTokens choices;         // not empty: they are scored, and nothing is generated
};

struct SystemAnswer {
  std::vector<TokenId> generated;
  std::vector<double> logprobs;  // of each choice, summed over its tokens; natural log
  std::int64_t tokens = 0;       // the prompt once, and what is generated or all choices
  double seconds = 0;            // its rows' share of the time of all forwards
};

/// [system][question]. All systems are served in one pass over the base; a GPU, which repeats recorded steps,
/// serves each mixture in a pass of its own. Forwards hold at most options.batch_tokens rows; batches are a
/// function of the arguments alone.
std::vector<std::vector<SystemAnswer>> answer_block(const Decoder& decoder,
                                                    std::span<const ModelSystem> systems,
                                                    std::span<const QuestionTokens> questions,
                                                    const GenerateOptions& options);

/// The mean over the examples of the mean nll of their target tokens, under one system.
double mean_nll(const Decoder& decoder, const ModelSystem& system, std::span<const Example> examples,
                std::int64_t batch_tokens);

}  // namespace rocket
