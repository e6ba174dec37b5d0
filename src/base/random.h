// Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011): each number is a function of
// (seed, stream, index), so neither ranks nor order of evaluation change it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rocket {

/// Four 32-bit words of the block at `counter` under `key`.
std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_high, std::uint64_t counter_low);

/// What a draw is for: draws of different streams are independent. Made from a name, e.g. stream("kde").
std::uint64_t stream(std::string_view name);

/// Uniform in [0, 1) with 53 bits.
double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);

/// A permutation of 0..n-1 (sorted by random key, ties by index).
std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream);

}  // namespace rocket
