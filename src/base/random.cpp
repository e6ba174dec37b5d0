#include "base/random.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace rocket {
namespace {

std::uint64_t bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const auto words = philox(seed, stream, index);
  return (std::uint64_t{words[1]} << 32) | words[0];
}

}  // namespace

std::uint64_t stream(std::string_view name) {
  return XXH3_64bits(name.data(), name.size());
}

double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  return static_cast<double>(bits(seed, stream, index) >> 11) * 0x1p-53;
}

std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::uint64_t stream) {
  std::vector<std::pair<std::uint64_t, std::int64_t>> keyed;
  keyed.reserve(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    keyed.emplace_back(bits(seed, stream, static_cast<std::uint64_t>(i)), i);
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<std::int64_t> order;
  order.reserve(keyed.size());
  for (const auto& [key, i] : keyed) {
    order.push_back(i);
  }
  return order;
}

}  // namespace rocket
