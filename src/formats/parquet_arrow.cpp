#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/schema.h>

#include <algorithm>

#include "formats/arrow_rows.h"
#include "formats/parquet.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kBatchRows = 1024;

class ParquetReader : public ArrowRows {
 public:
  ParquetReader(const fs::path& file, const std::vector<std::string>& paths)
      : ArrowRows(file.string(), "Parquet") {
    guarded([&] { open(paths); });
  }

  std::vector<std::string> columns() const override {
    std::vector<std::string> names;
    for (int i = 0; i < schema().group_node()->field_count(); ++i)
      names.push_back(schema().group_node()->field(i)->name());
    return names;
  }

 private:
  std::shared_ptr<arrow::RecordBatch> next_batch() override {
    std::shared_ptr<arrow::RecordBatch> batch;
    require(batches_->ReadNext(&batch));
    return batch;
  }

  void open(const std::vector<std::string>& paths) {
    // Column chunks are read as they are needed: a row group may be larger than the memory.
    parquet::ReaderProperties properties;
    properties.enable_buffered_stream();
    parquet::ArrowReaderProperties batches;
    batches.set_batch_size(kBatchRows);
    batches.set_pre_buffer(false);
    parquet::arrow::FileReaderBuilder builder;
    require(builder.Open(value_of(arrow::io::ReadableFile::Open(file_)), properties));
    require(builder.properties(batches)->Build(&reader_));
    std::vector<int> groups(static_cast<std::size_t>(reader_->num_row_groups()));
    for (std::size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<int>(i);
    batches_ = value_of(reader_->GetRecordBatchReader(groups, leaves_of(paths)));
  }

  const parquet::SchemaDescriptor& schema() const { return *reader_->parquet_reader()->metadata()->schema(); }

  /// The leaves of the columns that the paths lead into.
  std::vector<int> leaves_of(const std::vector<std::string>& paths) const {
    std::vector<std::string> roots;
    for (int i = 0; i < schema().num_columns(); ++i) roots.push_back(schema().GetColumnRoot(i)->name());
    std::vector<int> leaves = chosen(roots, paths);
    if (leaves.empty()) fail_data("{}: it has no columns", file_);
    return leaves;
  }

  std::unique_ptr<parquet::arrow::FileReader> reader_;  // outlives what reads through it
  std::unique_ptr<arrow::RecordBatchReader> batches_;
};

}  // namespace

bool has_parquet() {
  return true;
}

std::unique_ptr<ValueReader> open_parquet(const fs::path& file, const std::vector<std::string>& paths) {
  return std::make_unique<ParquetReader>(file, paths);
}

}  // namespace rocket
