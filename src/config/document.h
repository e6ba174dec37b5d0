// One YAML document and the places in it.
#pragma once

#include <yaml-cpp/yaml.h>

#include <functional>
#include <string>

#include "config/problems.h"
#include "config/run_config.h"

namespace rocket {

/// Where nodes come from: a file, whose lines are named, or one override, which is named as a whole.
struct Source {
  std::string name;
  bool has_lines = true;

  std::string at(const YAML::Mark& mark) const;
};

/// The only document of `text`; a null node if there is none. Throws config (78) with line and column: no
/// YAML, more than one document, text that is not UTF-8.
YAML::Node parse_yaml(const std::string& text, const Source& source);

/// The document of a file. Throws config (78) also for a missing file, a folder, or one that does not hold a
/// mapping.
YAML::Node parse_yaml_file(const fs::path& file);

/// Calls `use(key, value, where)` for each pair of a mapping; reports keys that are no text and duplicate
/// keys under `section`.
void for_each_key(const YAML::Node& mapping, const Source& source, const std::string& section,
                  Problems& problems,
                  const std::function<void(const std::string& key, const YAML::Node& value,
                                           const std::string& where)>& use);

/// "'fifty'", "a list", "a mapping", "nothing": what stands there instead of what was expected.
std::string found_text(const YAML::Node& node);

/// A node as one line of YAML that loads as the same value.
std::string to_flow(const YAML::Node& node);

/// Text as a YAML scalar: plain where no YAML reader could mistake it, else in double quotes.
std::string quote_text(const std::string& text);

}  // namespace rocket
