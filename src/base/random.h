// Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011): each number is a function of
// (seed, stream, index), so neither ranks nor order of evaluation change it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rocket {

/// Four 32-bit words of the block at `counter` under `key`. Also for GPU code, which may call constexpr
/// functions.
constexpr std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_high,
                                              std::uint64_t counter_low) {
  constexpr std::uint64_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
  constexpr std::uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
  constexpr auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  constexpr auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  std::array<std::uint32_t, 4> c{low(counter_low), high(counter_low), low(counter_high), high(counter_high)};
  std::uint32_t key0 = low(key), key1 = high(key);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = multiplier0 * c[0], product1 = multiplier1 * c[2];
    c = {high(product1) ^ c[1] ^ key0, low(product1), high(product0) ^ c[3] ^ key1, low(product0)};
    key0 += weyl0;
    key1 += weyl1;
  }
  return c;
}

/// What a draw is for: draws of different streams are independent. Made from a name, e.g. stream("kde").
std::uint64_t stream(std::string_view name);

/// Uniform in [0, 1) with 53 bits.
double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);

/// A permutation of 0..n-1 (sorted by random key, ties by index).
std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream);

}  // namespace rocket
