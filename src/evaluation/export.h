// What comes out for others: INTERFACE sections 7 and 8.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "model/decoder.h"
#include "moe/mixture.h"

namespace rocket {

/// folder/mixture.json, router.safetensors, experts/<name>/ (PEFT), mixture.py with load(folder, base_path, dtype=None).
void export_mixture(const std::filesystem::path& folder, const Mixture& mixture, std::span<const Module> modules,
                    const std::string& base_path);
/// folder/<name>/: one PEFT folder per expert.
void export_experts(const std::filesystem::path& folder, const Mixture& mixture, std::span<const Module> modules,
                    const std::string& base_path);
/// folder/: the uniform merge as one PEFT folder.
void export_merged_lora(const std::filesystem::path& folder, const Mixture& mixture, std::span<const Module> modules,
                        const std::string& base_path);
/// folder/: the base with the uniform merge folded in; a Hugging Face model folder (config, tokenizer, safetensors).
void export_merged_model(const std::filesystem::path& folder, const Mixture& mixture, const Decoder& decoder,
                         const std::filesystem::path& base_path);

}  // namespace rocket
