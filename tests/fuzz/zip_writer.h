// ZIP archives of stored entries, for tests of the readers: every field can be broken afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rocket::fuzz {

inline std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

/// The fields that headers of entries and records of the directory share; no checksum.
inline std::string zip_fields(std::string_view content, std::string_view name) {
  return little_endian(0, 12) + little_endian(content.size(), 4) + little_endian(content.size(), 4) +
         little_endian(name.size(), 2) + little_endian(0, 2);
}

inline std::string zip_of(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string file, directory;
  for (const auto& [name, content] : entries) {
    directory += "PK\1\2" + little_endian(0, 4) + zip_fields(content, name) + little_endian(0, 10) +
                 little_endian(file.size(), 4) + name;
    file += "PK\3\4" + little_endian(0, 2) + zip_fields(content, name) + name + content;
  }
  return file + directory + "PK\5\6" + little_endian(0, 4) + little_endian(entries.size(), 2) +
         little_endian(entries.size(), 2) + little_endian(directory.size(), 4) +
         little_endian(file.size(), 4) + little_endian(0, 2);
}

/// A file of torch.save: a pickle and storages of 96 and 8 bytes.
inline std::string torch_file_of(std::string_view pickle) {
  std::string storage;
  for (char i = 0; i < 96; ++i) storage += i;
  return zip_of({{"x/data.pkl", std::string(pickle)},
                 {"x/byteorder", "little"},
                 {"x/data/0", storage},
                 {"x/data/1", storage.substr(0, 8)}});
}

}  // namespace rocket::fuzz
