// Instruction records as people write them: JSON arrays, JSONL or Parquet, under their own field names.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/conversation.h"
#include "text/reading_notes.h"

namespace rocket {

class ValueReader;

struct Record {
  std::string instruction, input, output;
  /// Of the instruction: the system text and the blank line behind it; all that stands before the question.
  std::size_t system_bytes = 0, context_bytes = 0;
  std::string system;        // the system text alone
  std::vector<Turn> before;  // the earlier turns
  std::string whole_chat;    // of a chat's first record: what is said in all turns (conversation_text)
  bool has_output = false;   // false: the file has none; `output` is then empty
  std::optional<std::string> rationale, answer;
  std::vector<std::string> tests;  // code tasks
  /// What a task's own form makes of the object that the record was read from (task_form.h).
  std::optional<std::string> prompt;  // in place of the prompt template's
  std::vector<std::string> choices;
  std::optional<std::size_t> right_choice;
  std::string delimiter;          // between the prompt and a choice or an answer
  bool behind_delimiter = false;  // the file has neither rationale nor output
  std::string file;               // where it stands, for messages
  std::int64_t line = 0;          // from 1; of Parquet the row
  TurnCounts turns;               // of the chat that begins with this record

  /// What a model is trained and scored on: the rationale if there is one, else the output, else the answer
  /// behind the delimiter.
  std::string target() const {
    if (rationale) return *rationale;
    return behind_delimiter ? delimiter + output : output;
  }
};

/// What a task reads of the objects beside the fields of a record.
struct OwnFields {
  bool may_lack_instruction = false;
  std::vector<std::string> paths;
  bool all_columns = false;  // of Parquet and Arrow
};

/// The records of one file, one after the other.
///
/// Read are JSON (arrays, one object a line, or objects printed over several lines), packed or not, and
/// Parquet; memory is that of one record (of Parquet: of a batch of rows). `input`, `output`, `rationale`,
/// `answer` and `tests` may be absent or null, and an empty rationale is none. `answer` may be a number
/// (taken as it is written in the file) or a boolean ("true", "false"). Other fields are ignored.
///
/// A record without `instruction` is a chat: the list `messages` or `conversations` (conversation.h). `turns`
/// says which assistant turn is the output; the user turn before it is the instruction, `input` is empty.
/// Where the field names say where `messages` are, they go before an instruction.
///
/// Where a task writes its prompts itself (`own`), a record may have neither; `instruction` is then empty.
///
/// In front of the instruction, of a chat's too, come the system text and a blank line, and the earlier turns
/// (with_history). The system text is the chat's system turn, or the field `system`, by default `system` or
/// `system_prompt`; earlier turns are those of the chat and, before them, of the field `history`. A field
/// that is mapped to "" is not read.
class RecordReader {
 public:
  /// `notes`, which outlives the reader, is told of all that is read. Throws data (65): the file cannot be
  /// read.
  RecordReader(const std::filesystem::path& file, FieldNames fields, Turns turns = Turns::first,
               ReadingNotes* notes = nullptr, OwnFields own = {});
  ~RecordReader();
  /// Steps to the next record without looking at what it holds; false at the end. With Turns::all a chat has
  /// several, once its first one was read. Throws data (65): the file is damaged.
  bool advance();
  std::int64_t line() const;
  /// The record, once after each step. Throws data (65) "<file>:<line>: ...": no JSON, no object, a missing
  /// or wrongly typed field, invalid UTF-8; the next record can still be read.
  Record read();
  /// The same; `whole` becomes the object of the file with all its fields (of Parquet: with the columns that
  /// a record is made of, and those of `own`, or all). Not with Turns::all.
  Record read(JsonValue& whole);

 private:
  std::string file_;
  FieldNames fields_;
  Turns turns_;
  ReadingNotes* notes_;
  bool may_lack_instruction_;
  std::unique_ptr<ValueReader> values_;
  std::deque<Record> more_;  // of the chat that was read; the first one is current if `at_more_`
  bool at_more_ = false;
};

/// Puts `value` where an object of a file with these field names keeps `ours`; at its end where it has none.
void set_field(JsonValue& object, const FieldNames& fields, const std::string& ours, JsonValue value);
/// The same of a text.
void set_field(JsonValue& object, const FieldNames& fields, const std::string& ours, const std::string& text);

/// The same of what a record's `output` is read from: a field or, of a chat, the assistant's turn. `object`
/// is one that was read.
void set_output(JsonValue& object, const FieldNames& fields, const std::string& text,
                Turns turns = Turns::first);

/// Throws data (65) naming the record's place if the file gives it no output, or a blank one: a record to
/// train on cannot do without. `fields_setting` is what maps other names.
void require_output(const Record& record, std::string_view fields_setting = "corpus.fields");

/// Calls `use` for each record in file order; throws as RecordReader does.
void for_each_record(const std::filesystem::path& file, const FieldNames& fields,
                     const std::function<void(Record&&)>& use, Turns turns = Turns::first,
                     ReadingNotes* notes = nullptr);

std::vector<Record> read_records(const std::filesystem::path& file, const FieldNames& fields,
                                 Turns turns = Turns::first, ReadingNotes* notes = nullptr);

/// Files that patterns name.
struct NamedFiles {
  std::vector<std::filesystem::path> files;  // each once
  /// Sentences on files that are named more than once and on folders that are passed over.
  std::vector<std::string> notes;
};

/// Files that `patterns` name (base/input_files.h): order as listed, sorted by bytes within a pattern; a file
/// that is named again, by a link too, is left out there. Throws config (78) with what is wrong with a
/// pattern.
NamedFiles named_files(const std::vector<std::string>& patterns);

/// The files alone.
std::vector<std::filesystem::path> expand_globs(const std::vector<std::string>& patterns);

}  // namespace rocket
