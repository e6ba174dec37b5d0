// Parts of a tokenizer from the JSON of tokenizer.json.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/tokenizer_pipeline.h"

namespace rocket {

/// `truncation` and `padding` are ignored. Throws data (65) naming the part that is broken or not known.
TokenizerParts tokenizer_parts(const nlohmann::json& tokenizer);

/// One entry of `added_tokens`.
AddedToken added_token(const nlohmann::json& token, const std::string& part);

}  // namespace rocket
