// The prompt template that an adapter was trained with, in a file of rocket's beside PEFT's.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "adapters/bank.h"
#include "text/prompt.h"

namespace rocket {

/// Writes folder/rocket.json: {"prompt": {"template": name, "with_input": ..., "without_input": ...}}, or of
/// the tokenizer's own template {"prompt": {"template": "chat", "text": ..., "system": ...}}. PEFT does not
/// read it.
void write_training_prompt(const std::filesystem::path& folder, const PromptTemplate& prompt);

/// nullopt where the folder has no such file; of a chat template its text alone. Throws data (65) for one
/// that cannot be read.
std::optional<PromptTemplate> read_training_prompt(const std::filesystem::path& folder);

/// Names the adapters that were trained with another template than `used`; "" where none is known to be.
std::string note_on_prompts(const std::vector<BankEntry>& adapters, const PromptTemplate& used);

}  // namespace rocket
