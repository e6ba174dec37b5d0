// The command line as plain data, and the texts that are made of it when the program is built: man pages,
// completions of three shells, and JSON for the test that holds docs/interface.md against the program.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rocket {

/// An option ("--as") or a positional argument ("CONFIG").
struct OptionText {
  std::string name, short_name;      // short_name: "-h", or empty
  std::string value;                 // what a value is called, "DIR"; empty for a flag
  std::vector<std::string> choices;  // all values, where they are few
  std::string help, default_value;
  bool positional = false, required = false, takes_value = false;
};

struct CommandText {
  std::string name, help, notes;
  std::vector<OptionText> options;
};

struct Interface {
  std::string help, notes;          // of the program
  std::vector<OptionText> options;  // before a command
  std::vector<CommandText> commands;
};

/// That of this program.
Interface program_interface();

/// rocket.1 and a rocket-<command>.1 each in `folder`. Throws storage (74).
void write_man_pages(const Interface& interface, const std::filesystem::path& folder);

/// What a shell reads: share/bash-completion/completions/rocket, share/zsh/site-functions/_rocket,
/// share/fish/vendor_completions.d/rocket.fish.
std::string bash_completion(const Interface& interface);
std::string zsh_completion(const Interface& interface);
std::string fish_completion(const Interface& interface);

/// {options, commands: {name: {options, arguments}}}; an option: {value, choices}.
std::string interface_json(const Interface& interface);

}  // namespace rocket
