// Prompt templates. Substitution is single pass and strips nothing.
#pragma once

#include <memory>
#include <string>

namespace rocket {

class ChatTemplate;

struct PromptTemplate {
  std::string with_input;     // holds {instruction} and {input}
  std::string without_input;  // holds {instruction}
  /// In place of these two: the tokenizer's own chat template, its text, and prompt.system.
  std::shared_ptr<const ChatTemplate> chat;  // nullptr where only the text is known
  std::string chat_source, chat_system;

  /// The prompt of a record; an empty `input` takes the second form. Not of a chat (chat_prompt.h).
  std::string render(const std::string& instruction, const std::string& input) const;

  /// The texts are the same.
  bool operator==(const PromptTemplate& other) const;
};

/// alpaca, llama2, chatml or plain. Throws config (78) for another name, listing these.
PromptTemplate named_template(const std::string& name);

/// The template that a tokenizer brings.
PromptTemplate chat_template(std::shared_ptr<const ChatTemplate> chat);

/// "chat", the name of a known template, or "a template of its own".
std::string template_name(const PromptTemplate& prompt);

}  // namespace rocket
