// The corpus: many files of records under one running index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "text/record.h"

namespace rocket {

/// Reads forward: files in the order given, records in file order; memory is bounded by a block.
class CorpusReader {
 public:
  CorpusReader(std::vector<std::filesystem::path> files, FieldNames fields);
  ~CorpusReader();

  /// The next record; false at the end. Throws data (65) with file and line, also for a record without
  /// output.
  bool next(Record& record);

  /// Records [first, first + count) of the corpus, fewer at its end. Going forward continues from where the
  /// reader stands; going back starts from the first file. Throws as next() does.
  std::vector<Record> block(std::int64_t first, std::int64_t count);

 private:
  struct Position;
  RecordReader* current();
  template <class F>
  bool advance(F&& read);

  std::vector<std::filesystem::path> files_;
  FieldNames fields_;
  std::unique_ptr<Position> position_;
};

}  // namespace rocket
