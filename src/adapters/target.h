// Which modules of the base PEFT would wrap for an adapter.
#pragma once

#include <string>

#include "formats/adapter_config.h"

namespace rocket {

/// PEFT's rule for target_modules: a list entry is a module's full name or its last components; a single text
/// is a regular expression for the whole name, or "all-linear". Throws data (65) for an expression that does
/// not compile or cannot be decided.
bool is_target(const AdapterConfig& config, const std::string& module);

}  // namespace rocket
