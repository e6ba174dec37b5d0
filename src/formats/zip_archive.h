// ZIP archives as torch.save writes them: every entry is stored plainly, so that it is a piece of the file.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace rocket {

struct ZipEntry {
  std::string name;
  std::span<const std::byte> bytes;
};

/// The entries in the order of the archive's directory, which is checked against the file and against the
/// headers in front of the entries. Throws data (65) "<file>: ...": no ZIP, cut short, spread over several
/// files, an entry that is compressed, encrypted, outside the file or there twice. (Checksums are not
/// compared: PyTorch does not either, and can be told not to write them.)
std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, const std::string& file);

}  // namespace rocket
