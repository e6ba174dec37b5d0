// Instruction records as people write them: JSON arrays or JSONL, under their own field names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rocket {

struct Record {
  std::string instruction, input, output;
  bool has_output = false;  // false: the file has none; `output` is then empty
  std::optional<std::string> rationale, answer;
  std::vector<std::string> tests;  // code tasks
  std::string file;                // where it stands, for messages
  std::int64_t line = 0;           // from 1

  /// What a model is trained and scored on: the rationale if there is one, else the output.
  const std::string& target() const { return rationale ? *rationale : output; }
};

/// ours -> theirs, e.g. {"instruction": "question"}; names that are not mentioned stay ours. "a.b" is the
/// member b of the object a (or of the list a, by number, from 0), unless there is a key "a.b".
using FieldNames = std::map<std::string, std::string>;

/// The records of one file, one after the other: what for_each_record walks.
class RecordReader {
 public:
  RecordReader(const std::filesystem::path& file, FieldNames fields);
  ~RecordReader();
  /// False at the end.
  bool next(Record& record);
  /// Passes over a record without looking at what it holds; false at the end.
  bool skip();

 private:
  struct Texts;
  std::string file_;
  FieldNames fields_;
  std::unique_ptr<Texts> texts_;
};

/// Throws data (65) naming the record's place if the file gives it no output: a corpus record cannot do
/// without.
void require_output(const Record& record);

/// Calls `use` for each record in file order. Streams JSONL (.jsonl, .json with one object a line, .gz,
/// .zst); the text of a JSON array is read whole. `instruction` must be there; `input`, `output`,
/// `rationale`, `answer` and `tests` may be absent or null, and an empty rationale is none. `answer` may be a
/// number (taken as it is written in the file) or a boolean ("true", "false"). Other fields are ignored.
/// Throws data (65) with file and line: no JSON, no object, a missing or wrongly typed field, invalid UTF-8.
void for_each_record(const std::filesystem::path& file, const FieldNames& fields,
                     const std::function<void(Record&&)>& use);

std::vector<Record> read_records(const std::filesystem::path& file, const FieldNames& fields);

/// Files that `patterns` (POSIX globs) name: order as listed, sorted by bytes within a glob. Throws config
/// (78) naming the pattern that matches no file, or that is a folder.
std::vector<std::filesystem::path> expand_globs(const std::vector<std::string>& patterns);

}  // namespace rocket
