// Is a folder a model in Hugging Face form? If not, what is it?
#pragma once

#include <filesystem>
#include <string>

namespace rocket {

/// Of a folder that is not what was expected: what it is, and what to name instead. "a folder of 2 models (a,
/// b): name one of them". Empty where it is nothing that is known.
std::string what_folder_is(const std::filesystem::path& folder);

/// Throws data (65) where a folder without config.json is something else that is known: a repository of the
/// Hugging Face cache, checkpoints, an adapter, GGUF files, a folder of models. Says what to name.
void refuse_other_folder(const std::filesystem::path& folder);

/// Throws data (65) unless the folder holds config.json.
void require_model_folder(const std::filesystem::path& folder);

}  // namespace rocket
