// From a YAML node to the value of a setting.
#pragma once

#include "config/document.h"
#include "config/settings.h"

namespace rocket {

/// Reads `node` into the setting's place in `config` and notes its location; on a problem the value stays as
/// it was. `where` is the place of the key, `source` that of what lies below it.
void read_setting(const Setting& setting, const YAML::Node& node, const std::string& where,
                  const Source& source, RunConfig& config, Problems& problems);

/// 4GiB, 1.5 MB or a plain number of bytes; nullopt for anything else or more than 2^63 - 1.
std::optional<std::int64_t> parse_bytes(const std::string& text);

/// The shortest exact form: 4GiB, 1000B.
std::string format_bytes(std::int64_t bytes);

}  // namespace rocket
