// Do the inputs exist that a job will read?
#pragma once

#include "config/problems.h"
#include "config/run_config.h"

namespace rocket {

/// Reports paths of `inputs` that are not set or not there; keys that already have a problem are left alone.
void check_paths(const RunConfig& config, std::span<const Input> inputs, Problems& problems);

}  // namespace rocket
