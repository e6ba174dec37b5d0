#include <fmt/format.h>
#include <fmt/ranges.h>

#include "documentation/interface.h"

namespace rocket {

namespace {

/// Which of a shell's own lists completes a value.
enum class Values { none, files, folders, choices };

Values values_of(const OptionText& option) {
  if (!option.choices.empty()) return Values::choices;
  if (option.name == "RUN" || option.name == "MODEL" || option.value == "DIR") return Values::folders;
  if (option.name == "CONFIG" || option.name == "SWEEP" || option.name == "FILES" || option.value == "FILE")
    return Values::files;
  return Values::none;
}

/// In single quotes of any of the three shells.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string names_of(const std::vector<CommandText>& commands) {
  std::vector<std::string> names;
  for (const CommandText& command : commands) names.push_back(command.name);
  return fmt::format("{}", fmt::join(names, " "));
}

/// "--set --fresh": those that are no positional arguments.
std::string flags_of(const std::vector<OptionText>& options) {
  std::vector<std::string> names;
  for (const OptionText& option : options) {
    if (!option.positional) names.push_back(option.name);
  }
  return fmt::format("{}", fmt::join(names, " "));
}

std::string bash_generator(const OptionText& option) {
  switch (values_of(option)) {
    case Values::choices:
      return fmt::format("-W \"{}\"", fmt::join(option.choices, " "));
    case Values::folders:
      return "-d";
    case Values::files:
      return "-f";
    case Values::none:
      break;
  }
  return "-W \"\"";
}

/// All values that a positional argument of the command may have: bash does not count arguments.
std::string bash_arguments(const CommandText& command) {
  std::string all;
  for (const OptionText& option : command.options) {
    if (option.positional) all += " " + bash_generator(option);
  }
  return all.empty() ? " -W \"\"" : all;
}

/// An argument of _arguments: '--as[What to write]:DIR:_files -/'.
std::string zsh_argument(const OptionText& option, int position) {
  std::string text;
  for (const char c : option.help)
    text += c == '[' || c == ']' || c == ':' ? std::string("\\") + c : std::string(1, c);
  std::string values = " ";
  if (const Values kind = values_of(option); kind == Values::choices)
    values = fmt::format("({})", fmt::join(option.choices, " "));
  else if (kind != Values::none)
    values = kind == Values::folders ? "_files -/" : "_files";
  if (option.positional) {
    const std::string where = option.name == "FILES" ? "*" : std::to_string(position);
    return quoted(fmt::format("{}:{}:{}", where, option.name, values));
  }
  // May be given again: some options may, and those that may not say so themselves.
  return quoted(fmt::format("*{}[{}]{}", option.name, text,
                            option.takes_value ? fmt::format(":{}:{}", option.value, values) : ""));
}

std::string zsh_arguments(const std::vector<OptionText>& options) {
  std::string text = "_arguments";
  int position = 0;
  for (const OptionText& option : options) {
    position += option.positional;
    text += fmt::format(" \\\n            {}", zsh_argument(option, position));
  }
  return text;
}

std::string fish_option(const OptionText& option, const std::string& condition) {
  std::string text = fmt::format("complete -c rocket -n {} -l {}", quoted(condition), option.name.substr(2));
  if (const Values kind = values_of(option); kind == Values::choices)
    text += fmt::format(" -x -a {}", quoted(fmt::format("{}", fmt::join(option.choices, " "))));
  else if (kind == Values::folders)
    text += " -x -a '(__fish_complete_directories)'";
  else if (option.takes_value)
    text += kind == Values::files ? " -r -F" : " -x";
  return text + fmt::format(" -d {}\n", quoted(option.help));
}

}  // namespace

std::string bash_completion(const Interface& interface) {
  std::string values, flags, arguments;
  for (const CommandText& command : interface.commands) {
    for (const OptionText& option : command.options) {
      if (!option.positional && option.takes_value)
        values += fmt::format("    {},{}) words {}; return ;;\n", command.name, option.name,
                              bash_generator(option));
    }
    flags += fmt::format("    {},-*) words -W \"{}\" ;;\n", command.name, flags_of(command.options));
    arguments += fmt::format("    {},*) words{} ;;\n", command.name, bash_arguments(command));
  }
  return fmt::format(R"(# Completion of rocket for bash, made from its command line.
_rocket() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
  words() {{ mapfile -t COMPREPLY < <(compgen "$@" -- "$current"); }}
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    words -W "{} {}"
    return
  fi
  case ${{COMP_WORDS[1]}},$previous in
{}  esac
  case ${{COMP_WORDS[1]}},$current in
{}{}  esac
}}
complete -o filenames -F _rocket rocket
)",
                     names_of(interface.commands), flags_of(interface.options), values, flags, arguments);
}

std::string zsh_completion(const Interface& interface) {
  std::string names, cases;
  for (const CommandText& command : interface.commands) {
    names += fmt::format("        {}\n", quoted(command.name + ":" + command.help));
    cases += fmt::format("        {})\n          {} ;;\n", command.name, zsh_arguments(command.options));
  }
  std::string general = zsh_arguments(interface.options);
  general.replace(0, std::string("_arguments").size(), "_arguments -C");
  return fmt::format(R"(#compdef rocket
# Completion of rocket for zsh, made from its command line.
_rocket() {{
  local context state line
  {} \
            '1:command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands
      commands=(
{}      )
      _describe command commands ;;
    argument)
      case $words[1] in
{}      esac ;;
  esac
}}
_rocket "$@"
)",
                     general, names, cases);
}

std::string fish_completion(const Interface& interface) {
  std::string text = "# Completion of rocket for fish, made from its command line.\ncomplete -c rocket -f\n";
  for (const OptionText& option : interface.options) text += fish_option(option, "__fish_use_subcommand");
  for (const CommandText& command : interface.commands)
    text += fmt::format("complete -c rocket -n '__fish_use_subcommand' -a {} -d {}\n", command.name,
                        quoted(command.help));
  for (const CommandText& command : interface.commands) {
    const std::string condition = "__fish_seen_subcommand_from " + command.name;
    for (const OptionText& option : command.options) {
      if (!option.positional)
        text += fish_option(option, condition);
      else if (values_of(option) != Values::none)
        text += fmt::format("complete -c rocket -n {} -F\n", quoted(condition));
    }
  }
  return text;
}

}  // namespace rocket
