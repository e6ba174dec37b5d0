#include "adapters/training_prompt.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"

namespace rocket {
namespace {

using nlohmann::ordered_json;

constexpr const char* kFile = "rocket.json";

constexpr const char* kChat = "chat";

ordered_json described(const PromptTemplate& prompt) {
  if (!prompt.chat_source.empty())
    return {{"template", kChat}, {"text", prompt.chat_source}, {"system", prompt.chat_system}};
  return {{"template", template_name(prompt)},
          {"with_input", prompt.with_input},
          {"without_input", prompt.without_input}};
}

PromptTemplate described_by(const ordered_json& prompt) {
  PromptTemplate found;
  const bool chat = prompt.value("template", "") == kChat;
  prompt.at(chat ? "text" : "with_input").get_to(chat ? found.chat_source : found.with_input);
  prompt.at(chat ? "system" : "without_input").get_to(chat ? found.chat_system : found.without_input);
  return found;
}

}  // namespace

void write_training_prompt(const std::filesystem::path& folder, const PromptTemplate& prompt) {
  const ordered_json document = {{"prompt", described(prompt)}};
  make_folders(folder);
  write_file(folder / kFile, document.dump(2) + "\n");
}

std::optional<PromptTemplate> read_training_prompt(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kFile;
  if (!std::filesystem::exists(file)) return std::nullopt;
  try {
    return described_by(ordered_json::parse(read_file(file)).at("prompt"));
  } catch (const ordered_json::exception& e) {
    fail_data(
        "{}: expected the prompt template that rocket wrote here ({}); remove the file if it is not known",
        file.string(), e.what());
  }
}

std::string note_on_prompts(const std::vector<BankEntry>& adapters, const PromptTemplate& used) {
  std::vector<std::string> others;
  for (const BankEntry& adapter : adapters) {
    const auto trained = read_training_prompt(adapter.folder);
    if (trained && *trained != used)
      others.push_back(fmt::format("{} ({})", adapter.name, template_name(*trained)));
  }
  if (others.empty()) return "";
  return fmt::format(
      "trained with another prompt template than prompt.template, which is {}: {}. Set prompt.template to "
      "theirs, or "
      "leave them out: with another template their perplexities say little",
      template_name(used), fmt::join(others, ", "));
}

}  // namespace rocket
