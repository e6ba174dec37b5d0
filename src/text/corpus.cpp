#include "text/corpus.h"

namespace rocket {

struct CorpusReader::Position {
  std::int64_t index = 0;  // of the next record
  std::size_t file = 0;    // being read
  std::unique_ptr<RecordReader> reader;
};

CorpusReader::CorpusReader(std::vector<std::filesystem::path> files, FieldNames fields)
    : files_(std::move(files)), fields_(std::move(fields)), position_(std::make_unique<Position>()) {
}
CorpusReader::~CorpusReader() = default;

RecordReader* CorpusReader::current() {
  if (!position_->reader && position_->file < files_.size())
    position_->reader = std::make_unique<RecordReader>(files_[position_->file], fields_);
  return position_->reader.get();
}

/// Steps over file ends until `read` has taken a record; false at the end of the corpus.
template <class F>
bool CorpusReader::advance(F&& read) {
  while (RecordReader* reader = current()) {
    if (read(*reader)) {
      ++position_->index;
      return true;
    }
    position_->reader.reset();
    ++position_->file;
  }
  return false;
}

bool CorpusReader::next(Record& record) {
  const bool found = advance([&](RecordReader& reader) { return reader.next(record); });
  if (found) require_output(record);
  return found;
}

std::vector<Record> CorpusReader::block(std::int64_t first, std::int64_t count) {
  if (first < position_->index) *position_ = Position{};
  while (position_->index < first) {
    if (!advance([](RecordReader& reader) { return reader.skip(); })) return {};
  }
  std::vector<Record> records;
  for (Record record; static_cast<std::int64_t>(records.size()) < count && next(record);)
    records.push_back(std::move(record));
  return records;
}

}  // namespace rocket
