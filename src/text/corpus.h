// The corpus: many files of records under one running index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/record.h"

namespace rocket {

/// What happens at a record that cannot be read.
enum class OnError {
  stop,  // an error that names its place
  skip,  // it is left out and gets no index; a file that is damaged as a whole still stops
};

/// Whether a record must have an output; or_rationale: or else a rationale.
enum class Outputs { required, or_rationale, optional };

/// A record that was left out.
struct SkippedRecord {
  std::string file;
  std::int64_t line = 0;
  std::string reason;
};

/// Reads forward: files in the order given, records in file order; memory is bounded by a block.
class CorpusReader {
 public:
  using Listener = std::function<void(const SkippedRecord&)>;

  /// `skipped` is told of each record that is left out, in order, each time that it is passed.
  CorpusReader(std::vector<std::filesystem::path> files, FieldNames fields, OnError on_error = OnError::stop,
               Listener skipped = {}, Outputs outputs = Outputs::required, Turns turns = Turns::first);
  CorpusReader(CorpusReader&&) noexcept;
  ~CorpusReader();

  /// The corpus ends behind so many records.
  void end_after(std::int64_t records);

  /// The next record; false at the end. Throws data (65) with file and line, also for a record without a
  /// required output.
  bool next(Record& record);

  /// Of all records that next() and block() have read so far.
  const ReadingNotes& notes() const { return *notes_; }

  /// Of the chats that next() and block() have read so far; what is read twice counts twice.
  const TurnCounts& turns_left_out() const { return counts_; }

  /// Records [first, first + count) of the corpus, fewer at its end. Going forward continues from where the
  /// reader stands; going back starts from the first file. Throws as next() does.
  std::vector<Record> block(std::int64_t first, std::int64_t count);

  /// Whether block() passes over records without parsing them. It does not with OnError::skip, because a
  /// broken record has no index, nor with Turns::all, because a chat has several.
  bool passes_without_parsing() const { return on_error_ == OnError::stop && turns_ != Turns::all; }

 private:
  struct Position;
  RecordReader* advance();
  bool read(RecordReader& reader, Record& record);

  std::vector<std::filesystem::path> files_;
  FieldNames fields_;
  OnError on_error_;
  Listener skipped_;
  Outputs outputs_;
  std::optional<std::int64_t> limit_;
  Turns turns_;
  TurnCounts counts_;
  std::unique_ptr<ReadingNotes> notes_;  // stays in place: readers point to it
  std::unique_ptr<Position> position_;
};

}  // namespace rocket
