// What stands behind the last byte of every HDF5 file of rocket, where the library itself does not look: the
// hash of all bytes before it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace rocket {

inline constexpr std::string_view kSealMark = "\nrocket:xxh3-128:";
inline constexpr std::size_t kSealSize = kSealMark.size() + 32;

std::string seal_of(std::string_view image);

/// The hash that a file ends in; empty if it ends in none: cut off, absent, or of another program. Reads
/// nothing else, so it is no proof that the bytes before it are the same (store/hdf5.h: check_seal).
std::string stored_seal(const std::filesystem::path& path);

}  // namespace rocket
