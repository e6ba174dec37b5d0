// A file for a test, without the fsync of a committed one: these tests write tens of thousands.
#pragma once

#include <filesystem>
#include <fstream>
#include <string_view>

namespace rocket::testing {

inline void save_text(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::remove(path);  // a file cut to nothing and written again waits for the disk
  std::ofstream out(path, std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
}

}  // namespace rocket::testing
