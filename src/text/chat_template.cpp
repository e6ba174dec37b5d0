#include "text/chat_template.h"

#include <fmt/ranges.h>

#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "text/tokenizer_settings.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kOwnFile = "chat_template.jinja";
constexpr const char* kMoreFiles = "additional_chat_templates";
constexpr const char *kDefault = "default", *kToolUse = "tool_use";

using Templates = std::map<std::string, TemplateSource>;  // by name

/// Files beside the tokenizer; where there are any, tokenizer_config.json is not asked.
Templates templates_in_files(const fs::path& folder) {
  Templates found;
  if (const fs::path own = folder / kOwnFile; fs::exists(own))
    found[kDefault] = {read_file(own), own.string()};
  if (!fs::is_directory(folder / kMoreFiles)) return found;
  for (const auto& entry : fs::directory_iterator(folder / kMoreFiles))
    if (entry.path().extension() == ".jinja")
      found[entry.path().stem().string()] = {read_file(entry.path()), entry.path().string()};
  return found;
}

const std::string& text_in(const json& object, const char* key, const std::string& place) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string())
    fail_data("{}: chat_template: expected a text, or a list of {{\"name\": ..., \"template\": ...}}", place);
  return found->get_ref<const std::string&>();
}

Templates templates_in_settings(const fs::path& folder, const json& settings) {
  const std::string place = (folder / "tokenizer_config.json").string();
  const auto held = settings.find("chat_template");
  if (held == settings.end() || held->is_null()) return {};
  const std::string file = place + ": chat_template";
  if (!held->is_array()) return {{kDefault, {text_in(settings, "chat_template", place), file}}};
  Templates found;
  for (const json& named : *held) {
    if (!named.is_object()) fail_data("{}: expected a list of objects with name and template", file);
    const std::string& name = text_in(named, "name", place);
    found[name] = {text_in(named, "template", place), fmt::format("{} '{}'", file, name)};
  }
  return found;
}

/// All of a folder, "default" among them.
Templates named_templates(const fs::path& folder, const json& settings) {
  Templates all = templates_in_files(folder);
  if (all.empty()) all = templates_in_settings(folder, settings);
  if (all.empty())
    fail_data(
        "{}: no chat template: neither {} nor chat_template in tokenizer_config.json; a base that was not "
        "trained on "
        "chats has none (prompt.template: chatml, llama2, alpaca or a mapping)",
        folder.string(), kOwnFile);
  if (all.contains(kDefault)) return all;
  std::vector<std::string> names;
  for (const auto& [name, ignored] : all) names.push_back(name);
  fail_data("{}: several chat templates and none is called '{}': {}", folder.string(), kDefault,
            fmt::join(names, ", "));
}

const char* role_name(Role role) {
  return role == Role::system ? "system" : role == Role::user ? "user" : "assistant";
}

ordered_json message(Role role, const std::string& content) {
  return {{"role", role_name(role)}, {"content", content}};
}

}  // namespace

ChatTemplate::ChatTemplate(const fs::path& folder, ChatOptions options) : options_(std::move(options)) {
  const json settings = tokenizer_settings(folder);
  others_ = named_templates(folder, settings);
  own_ = std::move(others_.extract(kDefault).mapped());
  for (const char* key :
       {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"})
    if (const auto token = token_in(settings, key)) specials_[key] = *token;
  template_.emplace(own_.text, own_.file);
}

std::string ChatTemplate::render(const ordered_json& variables) const {
  ordered_json all = {{"tools", nullptr}, {"documents", nullptr}};
  all.update(specials_);
  all.update(variables);
  const jinja::Value values = jinja::from_json(all);
  const auto of_tools = others_.find(kToolUse);
  if (all["tools"].is_null() || of_tools == others_.end())
    return template_->render(*values.dict(), options_.now);
  return jinja::Template(of_tools->second.text, of_tools->second.file).render(*values.dict(), options_.now);
}

std::string ChatTemplate::text_of(const std::vector<Turn>& turns, bool with_generation_prompt) const {
  ordered_json messages = ordered_json::array();
  const bool has_system = !turns.empty() && turns.front().role == Role::system;
  if (!has_system && !options_.system.empty()) messages.push_back(message(Role::system, options_.system));
  for (const Turn& turn : turns) messages.push_back(message(turn.role, turn.text));
  return render({{"messages", std::move(messages)}, {"add_generation_prompt", with_generation_prompt}});
}

std::string ChatTemplate::ending() const {
  const std::string answer = "ANSWER";
  const std::string text = whole({{Role::user, "QUESTION"}, {Role::assistant, answer}});
  const std::size_t found = text.rfind(answer);
  return found == std::string::npos ? "" : text.substr(found + answer.size());
}

}  // namespace rocket
