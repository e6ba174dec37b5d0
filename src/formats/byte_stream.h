// The bytes of a file from front to end, unpacked on the way: plain, gzip and Zstandard, told by their magic.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace rocket {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  /// Fills the front of `buffer`; 0 only at the end. Throws data (65): unreadable, damaged or cut short.
  virtual std::size_t read(std::span<char> buffer) = 0;
};

/// Throws data (65): the file cannot be opened; a .gz or .zst that is none; Parquet (not built in).
std::unique_ptr<ByteStream> open_stream(const std::filesystem::path& file);

}  // namespace rocket
