// A base model folder written anew with an adapter folded into its weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "adapters/lora.h"
#include "moe/mixture.h"

namespace rocket {

/// The mixture's experts as adapters again.
std::vector<LoraAdapter> experts_of(const Mixture& mixture);

/// Copies what lies in the base's folder beside its weights: config, tokenizer, generation config, licence.
void copy_model_files(const std::filesystem::path& base, const std::filesystem::path& to);

/// Writes model.safetensors, or shards of at most `shard_bytes` with their index (a larger tensor is a shard
/// of its own). W + scale B A is computed in float32 and rounded once to the base's stored type.
void write_merged_weights(const std::filesystem::path& to, const std::filesystem::path& base,
                          const LoraAdapter& adapter, std::span<const Module> modules,
                          std::int64_t shard_bytes);

}  // namespace rocket
