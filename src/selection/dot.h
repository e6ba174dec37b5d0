// The dot product in double: its bits depend on the two vectors only.
#pragma once

#include <cstdint>

namespace rocket {

/// <a, b> in double, by eight partial sums.
double dot_double(const float* a, const float* b, std::int64_t d);

}  // namespace rocket
