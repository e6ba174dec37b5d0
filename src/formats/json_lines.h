// Files of many JSON values: one array, or values one behind the other. Cut into their texts, in order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

namespace rocket {

/// The texts of the values of one file in file order, packed or not (byte_stream.h). A file whose first
/// character is '[' is one array; named .jsonl, only if an object follows. All others hold one value a line,
/// or objects that are printed over several lines or stand in one line without a gap: such a one ends where
/// its brackets close. Lines end at LF or CRLF only; blank ones are skipped. A file of another kind
/// (file_kind.h) is refused by its name. A byte order mark at the start is skipped. Memory is that of the
/// longest value (at most 1 GiB). The values are not parsed, so whoever takes them must refuse what is no
/// JSON.
class JsonTexts {
 public:
  /// Throws data (65) with the file, as next() does: unreadable, damaged, cut short.
  explicit JsonTexts(const std::filesystem::path& file);
  ~JsonTexts();
  /// The next value's text, valid until the next call, and the line it begins on, from 1; false at the end.
  bool next(std::string_view& text, std::int64_t& line);

 private:
  class Reader;
  std::unique_ptr<Reader> reader_;
};

}  // namespace rocket
