#include "documentation/interface.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "command_line.h"

namespace rocket {

namespace {

/// The words of "TEXT:{mixture,experts}": how CLI11 shows the values that IsMember allows.
std::vector<std::string> choices_of(const std::string& type) {
  std::vector<std::string> choices;
  const auto open = type.find('{'), close = type.find('}');
  if (open == std::string::npos || close == std::string::npos) return choices;
  std::istringstream words(type.substr(open + 1, close - open - 1));
  for (std::string word; std::getline(words, word, ',');) choices.push_back(word);
  return choices;
}

OptionText text_of(const CLI::Option& option) {
  OptionText text;
  text.positional = option.get_positional();
  text.name = text.positional ? option.get_name(true) : "--" + option.get_lnames().at(0);
  if (!option.get_snames().empty()) text.short_name = "-" + option.get_snames()[0];
  text.takes_value = option.get_items_expected_max() > 0;
  const std::string type = option.get_type_name();
  text.choices = choices_of(type);
  text.value = type.substr(0, type.find(':'));
  if (text.takes_value && text.value.empty()) text.value = text.choices.empty() ? "NUMBER" : "TEXT";
  text.help = option.get_description();
  text.default_value = option.get_default_str();
  text.required = option.get_required();
  return text;
}

std::vector<OptionText> options_of(const CLI::App& app) {
  std::vector<OptionText> options;
  for (const CLI::Option* option : app.get_options()) options.push_back(text_of(*option));
  return options;
}

nlohmann::ordered_json to_json(const std::vector<OptionText>& options, bool positional) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const OptionText& option : options) {
    if (option.positional == positional)
      all[option.name] = {{"value", option.value}, {"choices", option.choices}};
  }
  return all;
}

}  // namespace

Interface program_interface() {
  Command command;
  const std::unique_ptr<CLI::App> app = command_line_of(command);
  Interface interface {
    app->get_description(), app->get_footer(), options_of(*app), {}
  };
  for (const CLI::App* sub : app->get_subcommands({}))
    interface.commands.push_back(
        {sub->get_name(), sub->get_description(), sub->get_footer(), options_of(*sub)});
  return interface;
}

std::string interface_json(const Interface& interface) {
  nlohmann::ordered_json commands;
  for (const CommandText& command : interface.commands)
    commands[command.name] = {{"options", to_json(command.options, false)},
                              {"arguments", to_json(command.options, true)}};
  return nlohmann::ordered_json{{"options", to_json(interface.options, false)}, {"commands", commands}}.dump(
             1) +
         "\n";
}

}  // namespace rocket
