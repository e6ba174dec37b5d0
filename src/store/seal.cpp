#include "store/seal.h"

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "store/hdf5.h"

namespace rocket {
std::string seal_of(std::string_view image) {
  return std::string(kSealMark) + hash_text(image);
}

std::string stored_seal(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string end(kSealSize, '\0');
  file.seekg(-static_cast<std::streamoff>(kSealSize), std::ios::end);
  if (!file.read(end.data(), static_cast<std::streamsize>(end.size())) || !end.starts_with(kSealMark))
    return "";
  return end.substr(kSealMark.size());
}

void check_seal(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const std::size_t image = bytes.size() - std::min(bytes.size(), kSealSize);
  if (!bytes.substr(image).starts_with(kSealMark))
    fail_data(
        "'{}' is cut off, was changed, or was written by another program: it does not end in rocket's "
        "checksum",
        path.string());
  if (bytes.substr(image) != seal_of(bytes.substr(0, image)))
    fail_data("'{}' is damaged: its checksum does not fit", path.string());
}

}  // namespace rocket
