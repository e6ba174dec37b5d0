// The prompts of `rocket generate`: records, chats, or texts that are taken as they are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "config/run_config.h"
#include "text/record.h"
#include "text/task_form.h"

namespace rocket {

/// A prompt as it stands in its file.
struct PromptOfFile {
  JsonValue object;   // with all its fields
  Record record;      // what the task asks about it; of a bare prompt its place alone
  std::string text;   // of a bare prompt
  bool bare = false;  // {"prompt": "..."}: no template, no description, no examples
};

/// The files of generate.input, one after the other. A value with an instruction or a chat is a record under
/// generate.fields or task.fields, asked as the task asks its items; of a chat the last question is asked,
/// and an answer behind it is not read. One with neither, but with a text `prompt`, is bare; where
/// task.prompt is set, only if it has none of that template's fields.
class PromptFiles {
 public:
  explicit PromptFiles(const RunConfig& config);
  PromptFiles(PromptFiles&&) noexcept;
  ~PromptFiles();

  /// The next prompt; false at the end. Throws data (65) with file and line: a file that is damaged, no JSON
  /// object, a field of another type, nothing to ask.
  bool next(PromptOfFile& prompt);
  /// Prompts [first, first + count), fewer at the end. Going forward continues from where the reader is;
  /// going back starts from the first file. Those that are passed are not parsed.
  std::vector<PromptOfFile> block(std::int64_t first, std::int64_t count);
  /// What is worth saying about what next() has read (ReadingNotes, TurnCounts).
  std::vector<std::string> notes() const;

 private:
  RecordReader* advance();
  PromptOfFile read(RecordReader& reader);
  void rewind();

  std::vector<std::filesystem::path> files_;
  FieldNames fields_;
  TaskForm form_;
  std::unique_ptr<ReadingNotes> notes_;  // readers point to it
  TurnCounts turns_;
  std::size_t file_ = 0;       // the next one
  std::int64_t position_ = 0;  // prompts that were passed
  std::unique_ptr<RecordReader> reader_;
};

}  // namespace rocket
