// Greedy generation for many sequences at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/decoder.h"

namespace rocket {

struct GenerateOptions {
  std::int64_t max_new_tokens = 256;
  std::vector<TokenId> stop_ids;
  std::int64_t batch_tokens = 8192;  // bound on rows x length of one forward
};

/// The new ids of each prompt without the stopping one; lowest id on a tie. A prompt that reaches the model's
/// max_positions ends there. The result for a prompt does not depend on its company.
std::vector<std::vector<TokenId>> generate(const Decoder& decoder,
                                           std::span<const std::vector<TokenId>> prompts, LinearDelta* delta,
                                           const GenerateOptions& options);

/// The same with a delta for each batch, so that the batches of a small model run side by side on the
/// threads. The delta serves the caller's sequences, numbered over all prompts; null = base alone.
using MakeDelta = std::function<std::unique_ptr<LinearDelta>()>;
std::vector<std::vector<TokenId>> generate(const Decoder& decoder,
                                           std::span<const std::vector<TokenId>> prompts,
                                           const MakeDelta& make_delta, const GenerateOptions& options);

}  // namespace rocket
