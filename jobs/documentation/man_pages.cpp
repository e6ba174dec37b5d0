#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "documentation/interface.h"

namespace rocket {

namespace {

/// A text as man's macros read it: no escape, no macro at the start of a line, no hyphen for a minus.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool starts_line = out.empty() || out.back() == '\n';
    if (starts_line && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out;
}

std::string heading(const std::string& name) {
  return fmt::format(".TH {} 1 \"\" \"rocket\" \"rocket\"\n.SH NAME\n", roff(name));
}

std::string synopsis(const CommandText& command) {
  std::string text = fmt::format(".SH SYNOPSIS\n.B rocket {}\n", roff(command.name));
  for (const OptionText& option : command.options) {
    if (!option.positional) continue;
    text += (option.required ? ".I " : ".RI [ ") + roff(option.name) + (option.required ? "\n" : " ]\n");
  }
  return text + ".RI [ options ]\n";
}

std::string entry(const OptionText& option) {
  std::string text = ".TP\n";
  if (option.positional)
    text += fmt::format(".I {}\n", roff(option.name));
  else if (!option.takes_value)
    text += fmt::format(".B {}{}\n", roff(option.short_name.empty() ? "" : option.short_name + ", "),
                        roff(option.name));
  else
    text += fmt::format(".BI {} \" {}\"\n", roff(option.name), roff(option.value));
  text += roff(option.help) + "\n";
  std::string choices;
  for (const std::string& choice : option.choices) choices += (choices.empty() ? "" : ", ") + choice;
  if (!choices.empty()) text += fmt::format(".br\nOne of: {}.\n", roff(choices));
  if (!option.default_value.empty()) text += fmt::format(".br\nDefault: {}.\n", roff(option.default_value));
  return text;
}

std::string entries(const std::string& title, const std::vector<OptionText>& options) {
  std::string text = fmt::format(".SH {}\n", title);
  for (const OptionText& option : options) text += entry(option);
  return text;
}

std::string page(const CommandText& command) {
  const std::string name = "rocket-" + command.name;
  std::string text = heading(name) + fmt::format("{} \\- {}\n", roff(name), roff(command.help)) +
                     synopsis(command) + entries("OPTIONS", command.options);
  if (!command.notes.empty()) text += ".SH NOTES\n" + roff(command.notes) + "\n";
  return text + ".SH SEE ALSO\n.BR rocket (1)\n";
}

std::string page(const Interface& interface) {
  std::string text = heading("rocket") +
                     "rocket \\- make a task expert of a language model, adapters and examples\n" +
                     ".SH SYNOPSIS\n.B rocket\n.I command\n.RI [ arguments ]\n.SH DESCRIPTION\n" +
                     roff(interface.help) + "\n" + entries("OPTIONS", interface.options) + ".SH COMMANDS\n";
  for (const CommandText& command : interface.commands)
    text += fmt::format(".TP\n.BR rocket\\-{} (1)\n{}\n", roff(command.name), roff(command.help));
  return text + ".SH NOTES\n" + roff(interface.notes) + "\n";
}

}  // namespace

void write_man_pages(const Interface& interface, const std::filesystem::path& folder) {
  make_folders(folder);
  write_file(folder / "rocket.1", page(interface));
  for (const CommandText& command : interface.commands)
    write_file(folder / fmt::format("rocket-{}.1", command.name), page(command));
}

}  // namespace rocket
