// Instruction records as people write them: JSON arrays or JSONL, under their own field names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rocket {

struct Record {
  std::string instruction, input, output;
  std::optional<std::string> rationale, answer;
  std::vector<std::string> tests;  // code tasks
  std::string file;                // where it stands, for messages
  std::int64_t line = 0;           // from 1

  /// What a model is trained and scored on: the rationale if there is one, else the output.
  const std::string& target() const { return rationale ? *rationale : output; }
};

/// ours -> theirs, e.g. {"instruction": "question"}; names that are not mentioned stay ours.
using FieldNames = std::map<std::string, std::string>;

/// Calls `use` for each record in file order. Streams JSONL (.jsonl, .json with one object a line, .gz, .zst);
/// a JSON array is read whole. Throws data (65) with file and line: no JSON, no object, a missing or
/// wrongly typed field, invalid UTF-8. Numbers are accepted for `answer` (as written in the file).
void for_each_record(const std::filesystem::path& file, const FieldNames& fields,
                     const std::function<void(Record&&)>& use);

std::vector<Record> read_records(const std::filesystem::path& file, const FieldNames& fields);

/// Files that `patterns` name: order as listed, sorted within a glob. Throws config (78) naming the pattern
/// that matches nothing.
std::vector<std::filesystem::path> expand_globs(const std::vector<std::string>& patterns);

/// Key of decontamination: lower-cased, white space folded `instruction + "\n" + input`.
std::string decontamination_key(const Record& record);

}  // namespace rocket
