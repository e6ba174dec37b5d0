// What the fuzz targets share: bytes as a file in a folder of their own, and what may come of reading it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"

namespace rocket::fuzz {

/// Writes `bytes` as `name` into a folder of this process and calls `read(folder)`. A reader may return or
/// throw an Error that is the file's fault; everything else escapes, and is a finding.
template <class Read>
void read_as_file(const std::string& name, std::string_view bytes, Read&& read) {
  static const struct Folder {
    Folder() {
      std::string pattern = (std::filesystem::temp_directory_path() / "rocket-fuzz-XXXXXX").string();
      path = ::mkdtemp(pattern.data());
    }
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
    std::filesystem::path path;
  } folder;
  std::filesystem::remove(folder.path / name);  // a file cut to nothing and written again waits for the disk
  std::ofstream out(folder.path / name, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  try {
    read(folder.path);
  } catch (const Error& e) {
    if (e.code() != ExitCode::data || std::string_view(e.what()).find(name) == std::string_view::npos) throw;
  }
}

/// Stops the process (and so tells the fuzzer) if a reader let something through that it must not.
inline void require(bool holds) {
  if (!holds) abort();
}

}  // namespace rocket::fuzz
