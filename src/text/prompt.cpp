#include "text/prompt.h"

#include <map>
#include <string_view>

#include "base/error.h"

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

PromptTemplate named_template(const std::string& name) {
  const auto it = kTemplates.find(name);
  if (it == kTemplates.end())
    fail_config("prompt.template: expected alpaca, llama2, chatml, plain or a mapping, got '{}'", name);
  return it->second;
}

std::string template_name(const PromptTemplate& prompt) {
  for (const auto& [name, known] : kTemplates) {
    if (known == prompt) return name;
  }
  return "a template of its own";
}

}  // namespace rocket
