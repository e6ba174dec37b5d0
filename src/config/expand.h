// ${VAR} and ${VAR:-default} in the values of a configuration; $${ stands for a plain ${.
#pragma once

#include <string>
#include <vector>

namespace rocket {

struct Expansion {
  std::string text;
  bool expanded = false;  // a variable was put in
  std::vector<std::string> problems;
};

/// As in the shell: the default also replaces an empty variable.
Expansion expand_variables(const std::string& text);

/// The text that expands to `text`.
std::string escape_variables(const std::string& text);

}  // namespace rocket
