// A file of lines that is written one line after the other and is there once it is whole.
#pragma once

#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "base/files.h"

namespace rocket {

class LineFile {
 public:
  /// Opens at once, so that a path that cannot be written is known before the work. An empty path is stdout.
  /// Throws storage (74).
  explicit LineFile(std::string path);

  void write(std::string_view line);
  /// Flushes the lines and gives the file its name. Throws storage (74); the file is then not there.
  void commit();

 private:
  std::ostream& out();
  void check();

  std::string path_;
  std::optional<PendingFile> pending_;
  std::ofstream file_;
};

}  // namespace rocket
