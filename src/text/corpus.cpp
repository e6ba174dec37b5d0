#include "text/corpus.h"

#include "base/error.h"

namespace rocket {

struct CorpusReader::Position {
  std::int64_t index = 0;  // of the next record
  std::size_t file = 0;    // being read
  std::unique_ptr<RecordReader> reader;
};

CorpusReader::CorpusReader(std::vector<std::filesystem::path> files, FieldNames fields, OnError on_error,
                           Listener skipped, Outputs outputs, Turns turns)
    : files_(std::move(files)),
      fields_(std::move(fields)),
      on_error_(on_error),
      skipped_(std::move(skipped)),
      outputs_(outputs),
      turns_(turns),
      notes_(std::make_unique<ReadingNotes>(fields_)),
      position_(std::make_unique<Position>()) {
}
CorpusReader::CorpusReader(CorpusReader&&) noexcept = default;
CorpusReader::~CorpusReader() = default;

void CorpusReader::end_after(std::int64_t records) {
  limit_ = records;
}

/// Steps to the next record, over file ends; nullptr at the end of the corpus.
RecordReader* CorpusReader::advance() {
  if (limit_ && position_->index >= *limit_) return nullptr;
  for (; position_->file < files_.size(); ++position_->file) {
    if (!position_->reader)
      position_->reader =
          std::make_unique<RecordReader>(files_[position_->file], fields_, turns_, notes_.get());
    if (position_->reader->advance()) return position_->reader.get();
    position_->reader.reset();
  }
  return nullptr;
}

/// False for a broken record that is to be left out.
bool CorpusReader::read(RecordReader& reader, Record& record) {
  try {
    record = reader.read();
    counts_ += record.turns;
    if (outputs_ == Outputs::required || (outputs_ == Outputs::or_rationale && !record.rationale))
      require_output(record, outputs_ == Outputs::required ? "corpus.fields" : "adapter.fields");
    return true;
  } catch (const Error& e) {
    if (on_error_ == OnError::stop || e.code() != ExitCode::data) throw;
    const std::string file = files_[position_->file].string(), what = e.what();
    const std::string place = fmt::format("{}:{}: ", file, reader.line());
    if (skipped_) skipped_({file, reader.line(), what.starts_with(place) ? what.substr(place.size()) : what});
    return false;
  }
}

bool CorpusReader::next(Record& record) {
  while (RecordReader* reader = advance()) {
    if (!read(*reader, record)) continue;
    ++position_->index;
    return true;
  }
  return false;
}

std::vector<Record> CorpusReader::block(std::int64_t first, std::int64_t count) {
  if (first < position_->index) *position_ = Position{};
  Record record;
  while (passes_without_parsing() && position_->index < first && advance()) ++position_->index;
  while (position_->index < first && next(record)) {
  }
  std::vector<Record> records;
  while (static_cast<std::int64_t>(records.size()) < count && next(record))
    records.push_back(std::move(record));
  return records;
}

}  // namespace rocket
