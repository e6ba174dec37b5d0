// The command line of INTERFACE section 2.
#pragma once

#include <optional>

#include "command.h"

namespace rocket {

/// Parses; help, version and usage errors are printed and end in `exit_code` without a command.
struct ParsedLine {
  std::optional<Command> command;
  int exit_code = 0;
};
ParsedLine parse_command_line(int argc, char** argv);

}  // namespace rocket
