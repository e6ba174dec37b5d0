// Dot products whose bits depend on the two vectors only, never on how many rows are asked for at once.
#pragma once

#include <cstdint>

namespace rocket {

/// out[r] = <x, row r> in float32, for `count` rows of length d that follow each other. Sixteen partial sums, element
/// i in sum i mod 16, added up as a fixed tree.
void dot_rows(const float* x, const float* rows, std::int64_t count, std::int64_t d, float* out);

/// <a, b> in double, by eight partial sums.
double dot_double(const float* a, const float* b, std::int64_t d);

}  // namespace rocket
