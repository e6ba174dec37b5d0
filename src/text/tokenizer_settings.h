// What tokenizer_config.json and special_tokens_map.json say beside the vocabulary.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace rocket {

/// The object in a JSON file; empty if there is no such file. Throws data (65) naming it.
nlohmann::json object_in(const std::filesystem::path& file);

/// tokenizer_config.json and, under it, special_tokens_map.json: as in transformers the map wins, unless the
/// configuration lists its added tokens. Empty where there is neither.
nlohmann::json tokenizer_settings(const std::filesystem::path& folder);

/// A token given as text or as {"content": text}; nullopt if it is absent or null. Throws data (65) naming
/// the key.
std::optional<std::string> token_in(const nlohmann::json& settings, const std::string& key);

}  // namespace rocket
