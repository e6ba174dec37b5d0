// Which modules of the base PEFT would wrap for an adapter.
#pragma once

#include <string>

#include "formats/adapter_config.h"

namespace rocket {

/// PEFT's rule: an entry of a list of target_modules is a module's full name or its last components; a single
/// text is a regular expression for the whole name, or "all-linear"; exclude_modules and layers_to_transform
/// take away. Throws data (65) for an expression that does not compile or takes too long.
bool is_target(const AdapterConfig& config, const std::string& module);

}  // namespace rocket
