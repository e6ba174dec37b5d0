#include <arrow/buffer.h>
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>

#include "formats/arrow_rows.h"
#include "formats/parquet.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

/// Batches as a file keeps them: one behind the other (a stream, as `datasets` writes), or with a table of
/// their places at the end (a file, as Feather is).
class IpcReader : public ArrowRows {
 public:
  IpcReader(const fs::path& file, const std::vector<std::string>& paths) : ArrowRows(file.string(), "Arrow") {
    guarded([&] { open(paths); });
  }

  std::vector<std::string> columns() const override { return columns_; }

 private:
  std::shared_ptr<arrow::RecordBatch> next_batch() override {
    std::shared_ptr<arrow::RecordBatch> batch;
    if (stream_)
      require(stream_->ReadNext(&batch));
    else if (next_ < file_reader_->num_record_batches())
      batch = value_of(file_reader_->ReadRecordBatch(next_++));
    if (batch) require(batch->ValidateFull());  // offsets come from the file as they are
    return batch;
  }

  void open(const std::vector<std::string>& paths) {
    const auto input = value_of(arrow::io::ReadableFile::Open(file_));
    const auto magic = value_of(input->ReadAt(0, 6));
    if (magic->ToString() == "ARROW1") {
      columns_ = value_of(arrow::ipc::RecordBatchFileReader::Open(input))->schema()->field_names();
      file_reader_ = value_of(arrow::ipc::RecordBatchFileReader::Open(input, options(paths)));
      return;
    }
    require(input->Seek(0));
    columns_ = value_of(arrow::ipc::RecordBatchStreamReader::Open(input))->schema()->field_names();
    require(input->Seek(0));
    stream_ = value_of(arrow::ipc::RecordBatchStreamReader::Open(input, options(paths)));
  }

  arrow::ipc::IpcReadOptions options(const std::vector<std::string>& paths) const {
    arrow::ipc::IpcReadOptions options;
    options.included_fields = chosen(columns_, paths);
    options.use_threads = false;
    return options;
  }

  std::vector<std::string> columns_;
  std::shared_ptr<arrow::ipc::RecordBatchStreamReader> stream_;  // one of the two
  std::shared_ptr<arrow::ipc::RecordBatchFileReader> file_reader_;
  int next_ = 0;  // batch of the file
};

}  // namespace

std::unique_ptr<ValueReader> open_arrow(const fs::path& file, const std::vector<std::string>& paths) {
  return std::make_unique<IpcReader>(file, paths);
}

}  // namespace rocket
