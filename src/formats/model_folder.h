// Is a folder a model in Hugging Face form? If not, what is it?
#pragma once

#include <filesystem>
#include <string>

namespace rocket {

/// Of a folder that is not what was expected: what it is, and what to name instead. "a folder of 2 models (a,
/// b): name one of them".
std::string what_folder_is(const std::filesystem::path& folder);

/// Throws data (65) unless the folder holds config.json: says what it is instead (a repository of the Hugging
/// Face cache, checkpoints, an adapter, GGUF files, a folder of models) and what to name.
void require_model_folder(const std::filesystem::path& folder);

}  // namespace rocket
