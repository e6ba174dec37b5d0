// What files of records hold that nobody reads, and which mapped fields no record has.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json_value.h"

namespace rocket {

/// ours -> theirs, e.g. {"instruction": "question"}; names that are not mentioned stay ours. "a.b" is the
/// member b of the object a (or of the list a, by number, from 0), unless there is a key "a.b".
using FieldNames = std::map<std::string, std::string>;

/// Gathered while records are read, of one source: all files that share field names.
///
/// Not read, and so counted for each file, is what templates put into a prompt or an answer beside texts: of
/// a turn its reasoning (`reasoning_content`, `reasoning`, `thinking`), of a record `tools`, `functions`,
/// `documents` and `images`, `videos`, `audios`; unless a mapping names the key. Counted, too, are numbers
/// that stand where a text is meant: they are read as they are written.
class ReadingNotes {
 public:
  explicit ReadingNotes(FieldNames fields = {}) : fields_(std::move(fields)) {}

  /// An object of the file that was read; `turns`: its chat, nullptr where it is none.
  void take(const std::string& file, const JsonValue& object, const JsonValue* turns);
  /// The columns of a file whose objects hold only those that are read.
  void take_columns(const std::string& file, const std::vector<std::string>& names);

  /// A sentence for each thing that the user would want to know; none if there is nothing. `setting`
  /// ("corpus.fields") is what maps names; of `unused` ours nothing is said, because nobody reads them here.
  std::vector<std::string> warnings(std::string_view setting,
                                    const std::vector<std::string>& unused = {}) const;

 private:
  struct File {
    std::string name;
    std::map<std::string, std::int64_t> turns, records;  // how many hold the key
    std::map<std::string, std::int64_t> numbers;         // how many have one under the key
    std::vector<std::string> columns;                    // not read
  };

  File& file(const std::string& name);
  void count_numbers(const std::string& name, const JsonValue& object, const JsonValue* turns);
  template <class F>
  void add_for_each_file(std::vector<std::string>& all, F&& sentence_on) const;
  bool is_mapped(std::string_view key) const;
  void remember_key(const std::string& key);

  FieldNames fields_;
  std::int64_t records_ = 0;
  std::map<std::string, std::int64_t> found_;  // of ours: records that have the mapped field
  std::vector<std::string> keys_;              // the first ones that records have
  std::vector<File> files_;
};

}  // namespace rocket
