// A tokenizer's own chat template: chats as the texts that its model was trained on.
#pragma once

#include <ctime>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "text/conversation.h"
#include "text/jinja/template.h"

namespace rocket {

struct ChatOptions {
  std::string system;  // of chats that have none of their own; empty: what the template itself says then
  std::optional<std::tm> now;  // what the template is told of the date; nullopt: one that asks is refused

  bool operator==(const ChatOptions& other) const { return system == other.system; }
};

/// Text of a template, and the file that it stands in.
struct TemplateSource {
  std::string text, file;
};

class ChatTemplate {
 public:
  /// As transformers 5 finds it in a model folder: chat_template.jinja, else `chat_template` of
  /// tokenizer_config.json, a text or a list of named ones. Files in additional_chat_templates are named
  /// ones, too. Of several "default" is taken. Throws data (65): there is none, or it is no Jinja that is
  /// known (jinja/template.h).
  ChatTemplate(const std::filesystem::path& folder, ChatOptions options);

  /// The text that a model goes on from: up to where the assistant's next turn begins. Throws data (65)
  /// naming the template and the place in it.
  std::string prompt(const std::vector<Turn>& turns) const { return text_of(turns, true); }
  /// All turns, the last one with what ends it.
  std::string whole(const std::vector<Turn>& turns) const { return text_of(turns, false); }
  /// The text of these variables: `messages`, `add_generation_prompt` and whatever else the template reads.
  /// The special tokens of the tokenizer are added. Where there are `tools`, the template called "tool_use"
  /// is taken if there is one, as in transformers.
  std::string render(const nlohmann::ordered_json& variables) const;
  /// What the template writes behind an assistant's turn; empty where it hides or changes the turn.
  std::string ending() const;

  const std::string& source() const { return own_.text; }
  const ChatOptions& options() const { return options_; }
  /// The file that the template stands in.
  const std::string& file() const { return own_.file; }
  /// By name the templates that are there beside this one.
  const std::map<std::string, TemplateSource>& others() const { return others_; }

 private:
  std::string text_of(const std::vector<Turn>& turns, bool with_generation_prompt) const;

  ChatOptions options_;
  TemplateSource own_;
  std::map<std::string, TemplateSource> others_;
  nlohmann::ordered_json specials_ = nlohmann::ordered_json::object();
  std::optional<jinja::Template> template_;
};

}  // namespace rocket
