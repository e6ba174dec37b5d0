// What the readers of decoders and encoders share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "formats/json_reader.h"

namespace rocket {

// Far above any published model; products of three of them fit into 63 bits.
constexpr std::int64_t kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxLayers = 1 << 14;
constexpr std::int64_t kMaxVocabulary = 1 << 26;
constexpr std::int64_t kMaxPositions = 1 << 30;

bool is_there(const std::filesystem::path& file);

/// model_type, or what `architectures` says of a file without one.
std::string family_of(const JsonObject& config);

void refuse_if_set(const JsonObject& config, const char* key, const char* reason);
void refuse_quantized(const JsonObject& config);
void check_heads(const JsonObject& config, std::int64_t hidden, std::int64_t heads);

}  // namespace rocket
