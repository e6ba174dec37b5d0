// Models that read images, too: a language model beside a vision tower. The language model alone is computed,
// on texts alone, where it is a decoder of a known family.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "formats/json_reader.h"

namespace rocket {

/// What stands in front of the names of its tensors and modules, but the head's, in transformers since 4.52.
constexpr std::string_view kTextTower = "model.language_model.";

/// The settings of the language model, as a config.json of its own would have them; nullopt: `config` is of
/// no such model. Throws data (65) where they cannot be had.
std::optional<JsonObject::Json> text_tower_settings(const JsonObject& config);

/// The name that a tensor or a module has now. Older files say "language_model.model." (Gemma 3, LLaVA,
/// Mistral 3) or "model." (Qwen2-VL). Names of the vision tower stay.
std::string name_in_text_tower(std::string_view name);

/// Whether a module belongs to what turns images into rows.
bool reads_images(std::string_view module);

}  // namespace rocket
