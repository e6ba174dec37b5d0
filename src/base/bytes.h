// Numbers as files spell them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rocket {

/// The number that at most 8 bytes spell, the least significant first.
inline std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<std::uint64_t>(bytes[i]);
  return value;
}

}  // namespace rocket
