// The bytes of a file from front to end, unpacked on the way where it is packed (unpacker.h).
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

/// Files of columns, which are no streams.
enum class Columnar { none, parquet, arrow };

/// By its name or its magic. Throws data (65) if it cannot be opened.
Columnar columnar_form(const std::filesystem::path& file);

/// Whether the name ends as those of packed files do: .gz, .zst, .bz2 or .xz.
bool is_packed_name(const std::filesystem::path& file);

/// Throws data (65): the file cannot be opened; a pipe (input_files.h); a .gz, .zst, .bz2 or .xz
/// that is none.
std::unique_ptr<ByteStream> open_stream(const std::filesystem::path& file);

}  // namespace rocket
