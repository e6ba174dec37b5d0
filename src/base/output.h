// Results on stdout: all of them, or an error.
#pragma once

#include <string_view>

namespace rocket {

/// Writes to stdout and flushes. Throws storage (74) if it cannot be written.
void print_result(std::string_view text);

}  // namespace rocket
