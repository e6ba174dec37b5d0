// Prompt templates. Substitution is single pass and strips nothing.
#pragma once

#include <string>

namespace rocket {

struct PromptTemplate {
  std::string with_input;     // holds {instruction} and {input}
  std::string without_input;  // holds {instruction}

  /// The prompt of a record; an empty `input` takes the second form.
  std::string render(const std::string& instruction, const std::string& input) const;

  bool operator==(const PromptTemplate&) const = default;
};

/// alpaca, llama2, chatml or plain. Throws config (78) for another name, listing these.
PromptTemplate named_template(const std::string& name);

/// The name of a known template, else "a template of its own".
std::string template_name(const PromptTemplate& prompt);

}  // namespace rocket
