// Resampling with counter-based random numbers: what the bootstrap (Efron 1979) draws.
#pragma once

#include <cstdint>
#include <vector>

namespace rocket {

/// How often each of `items` stands in the resampled set `number`, which has `items` places: [items], sum =
/// items. The draws are a function of (seed, stream, number).
std::vector<int> resample(std::int64_t items, std::uint64_t seed, std::uint64_t stream, std::uint64_t number);

}  // namespace rocket
