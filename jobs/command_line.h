// The command line: docs/interface.md section 1.
#pragma once

#include <memory>
#include <optional>

#include "command.h"

namespace CLI {
class App;
}

namespace rocket {

/// All commands and options, which parsing writes into `command`. It must live as long as the App.
std::unique_ptr<CLI::App> command_line_of(Command& command);

/// Parses; help, version and usage errors are printed and end in `exit_code` without a command.
struct ParsedLine {
  std::optional<Command> command;
  int exit_code = 0;
};
ParsedLine parse_command_line(int argc, char** argv);

}  // namespace rocket
