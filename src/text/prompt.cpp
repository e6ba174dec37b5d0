#include "text/prompt.h"

#include <map>
#include <string_view>

#include "base/error.h"
#include "text/chat_template.h"

namespace rocket {
namespace {

const std::map<std::string, PromptTemplate> kTemplates = {
    {"alpaca",
     {"Below is an instruction that describes a task, paired with an input that provides further context. "
      "Write a response that appropriately completes the request.\n\n"
      "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n",
      "Below is an instruction that describes a task. "
      "Write a response that appropriately completes the request.\n\n"
      "### Instruction:\n{instruction}\n\n### Response:\n"}},
    {"llama2", {"[INST] {instruction}\n{input} [/INST] ", "[INST] {instruction} [/INST] "}},
    {"chatml",
     {"<|im_start|>user\n{instruction}\n{input}<|im_end|>\n<|im_start|>assistant\n",
      "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n"}},
    {"plain", {"{instruction}\n{input}\n", "{instruction}\n"}}};

constexpr std::string_view kInstruction = "{instruction}";
constexpr std::string_view kInput = "{input}";

}  // namespace

std::string PromptTemplate::render(const std::string& instruction, const std::string& input) const {
  const std::string_view form = input.empty() ? without_input : with_input;
  std::string prompt;
  for (std::size_t at = 0; at < form.size();) {
    const std::string_view rest = form.substr(at);
    if (rest.starts_with(kInstruction)) {
      prompt += instruction;
      at += kInstruction.size();
    } else if (rest.starts_with(kInput)) {
      prompt += input;
      at += kInput.size();
    } else {
      prompt += form[at++];
    }
  }
  return prompt;
}

bool PromptTemplate::operator==(const PromptTemplate& other) const {
  return with_input == other.with_input && without_input == other.without_input &&
         chat_source == other.chat_source && chat_system == other.chat_system;
}

PromptTemplate named_template(const std::string& name) {
  const auto it = kTemplates.find(name);
  if (it == kTemplates.end())
    fail_config("prompt.template: expected alpaca, llama2, chatml, plain, chat or a mapping, got '{}'", name);
  return it->second;
}

PromptTemplate chat_template(std::shared_ptr<const ChatTemplate> chat) {
  PromptTemplate prompt;
  prompt.chat_source = chat->source();
  prompt.chat_system = chat->options().system;
  prompt.chat = std::move(chat);
  return prompt;
}

std::string template_name(const PromptTemplate& prompt) {
  if (!prompt.chat_source.empty()) return "chat";
  for (const auto& [name, known] : kTemplates) {
    if (known == prompt) return name;
  }
  return "a template of its own";
}

}  // namespace rocket
