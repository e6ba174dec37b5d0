// The values of a data file of any kind that rocket reads, one after the other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "formats/json_value.h"

namespace rocket {

/// A file that turns out to be damaged ends the reading; a value that is broken does not: the next one can be
/// read.
class ValueReader {
 public:
  virtual ~ValueReader() = default;
  /// Steps to the next value without looking at it; false at the end. Throws data (65) with the file:
  /// unreadable, damaged, cut short.
  virtual bool advance() = 0;
  /// Where the value stands: the line that it begins on, from 1; of files of columns the row, from 1.
  virtual std::int64_t line() const = 0;
  /// All columns of a file whose values hold only those that are read; of any other none.
  virtual std::vector<std::string> columns() const { return {}; }
  /// The value, once after each step. Throws data (65) "<place>: ...": it cannot be read.
  virtual JsonValue value(const std::string& place) = 0;
};

/// JSON arrays or JSON values one behind the other (JsonTexts), packed or not (byte_stream.h), and Parquet
/// and Arrow files, whose rows are objects. Of these only the columns that one of the `paths` ("a", "a.b")
/// leads into are read; no paths: all. Throws data (65) with the file: it cannot be opened, is damaged, or is
/// of columns and that is not built in.
std::unique_ptr<ValueReader> open_values(const std::filesystem::path& file,
                                         const std::vector<std::string>& paths);

}  // namespace rocket
