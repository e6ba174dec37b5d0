// Files of many JSON values: JSONL, or one JSON array. Cut into the texts of the values, one after the other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>

namespace rocket {

/// The texts of the values of one file, one after the other: what for_each_json_text walks.
class JsonTexts {
 public:
  explicit JsonTexts(const std::filesystem::path& file);
  ~JsonTexts();
  /// The next value's text, valid until the next call, and the line it begins on; false at the end.
  bool next(std::string_view& text, std::int64_t& line);

 private:
  class Reader;
  std::unique_ptr<Reader> reader_;
};

/// Calls `use` with the text of each value and the line it begins on, from 1, in file order. Plain, .gz or
/// .zst. A file whose first character is '[' is one array, unless it is named .jsonl; it is held in memory
/// as text. All others are JSONL and cost the memory of their longest line (at most 1 GiB): lines end at LF
/// or CRLF only; blank ones are skipped. A byte order mark at the start is skipped.
/// The values are not parsed, so `use` must refuse what is no JSON. Throws data (65) with the file.
void for_each_json_text(const std::filesystem::path& file,
                        const std::function<void(std::string_view text, std::int64_t line)>& use);

}  // namespace rocket
