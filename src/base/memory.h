// How much memory this process has needed.
#pragma once

#include <cstdint>

namespace rocket {

/// The most that was resident since the program began, in bytes (getrusage would count the parent, too); 0
/// where the system does not tell.
std::int64_t peak_bytes();

}  // namespace rocket
