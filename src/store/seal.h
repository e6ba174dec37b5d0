// What stands behind the last byte of every HDF5 file of rocket, where the library itself does not look: the
// hash of all bytes before it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rocket {

inline constexpr std::string_view kSealMark = "\nrocket:xxh3-128:";
inline constexpr std::size_t kSealSize = kSealMark.size() + 32;

std::string seal_of(std::string_view image);

}  // namespace rocket
