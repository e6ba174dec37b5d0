// The model of a tokenizer from the JSON of tokenizer.json.
#pragma once

#include <nlohmann/json.hpp>

#include "text/tokenizer_pipeline.h"

namespace rocket {

/// Fills in the model and its vocabulary. `byte_level`: its pre-tokenizers leave bytes to it. Throws data
/// (65).
void read_model(const nlohmann::json& model, bool byte_level, TokenizerParts& parts);

}  // namespace rocket
