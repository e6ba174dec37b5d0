// What comes out for others: docs/interface.md section 7.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "model/decoder.h"
#include "moe/mixture.h"
#include "text/prompt.h"

namespace rocket {

// Each export appears whole or not at all, and replaces what an earlier export wrote into the same folder.
// Throws config (78) if files that no export wrote are in the way, storage (74) if writing fails.

// PEFT folders also hold rocket.json, the prompt template that the experts were trained with
// (adapters/training_prompt.h), so that `score` can warn where another one is used.

/// folder/mixture.json, router.safetensors, experts/<name>/ (PEFT), mixture.py with load(folder, base_path,
/// dtype=None).
void export_mixture(const std::filesystem::path& folder, const Mixture& mixture,
                    std::span<const Module> modules, const std::string& base_path,
                    const PromptTemplate& prompt);
/// folder/<name>/: one PEFT folder per expert.
void export_experts(const std::filesystem::path& folder, const Mixture& mixture,
                    std::span<const Module> modules, const std::string& base_path,
                    const PromptTemplate& prompt);
/// folder/: the uniform merge as one PEFT folder.
void export_merged_lora(const std::filesystem::path& folder, const Mixture& mixture,
                        std::span<const Module> modules, const std::string& base_path,
                        const PromptTemplate& prompt);
/// folder/: the base with the uniform merge folded in; a Hugging Face model folder: the base's own files, its
/// weights in their stored type. Weights beyond `shard_bytes` are split over several files, each of which is
/// in memory once.
void export_merged_model(const std::filesystem::path& folder, const Mixture& mixture,
                         std::span<const Module> modules, const std::filesystem::path& base_path,
                         std::int64_t shard_bytes = std::int64_t{2} << 30);

}  // namespace rocket
