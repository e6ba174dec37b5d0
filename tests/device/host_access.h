// What happens when host code touches device memory.
#pragma once

#include <cstddef>

namespace rocket::emulated {

/// From now on an access to these addresses ends the process (SIGABRT) with a message and the stack that
/// leads to it. Other faults go to whom they went before.
void report_host_access(const void* begin, std::size_t bytes);

}  // namespace rocket::emulated
