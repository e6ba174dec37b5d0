// Generation for many prompts at once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/serve.h"

namespace rocket {

struct GenerateOptions {
  std::int64_t max_new_tokens = 256;
  std::vector<TokenId> stop_ids;
  std::int64_t batch_tokens = 8192;  // see ServeOptions
  EndsWith ends = nullptr;
  Sampling sampling = {};  // see ServeOptions
  bool logprobs = false;

  ServeOptions serving() const { return {stop_ids, batch_tokens, ends, sampling, logprobs}; }
};

/// The new ids of each prompt without the stopping one (but with those that `ends` saw); lowest id on a tie.
/// A prompt that reaches the model's max_positions ends there. The result for a prompt does not depend on its
/// company.
std::vector<std::vector<TokenId>> generate(const Decoder& decoder,
                                           std::span<const std::vector<TokenId>> prompts, LinearDelta* delta,
                                           const GenerateOptions& options);

/// The same with one delta for all prompts, made once a worker.
std::vector<std::vector<TokenId>> generate(const Decoder& decoder,
                                           std::span<const std::vector<TokenId>> prompts,
                                           const MakeDelta& make_delta, const GenerateOptions& options);

}  // namespace rocket
