// Rows of Arrow's record batches as JSON values: what Parquet and Arrow files have alike.
#pragma once

#include <arrow/record_batch.h>
#include <arrow/result.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/value_reader.h"

namespace rocket {

class ArrowRows : public ValueReader {
 public:
  bool advance() override;
  std::int64_t line() const override { return line_; }
  JsonValue value(const std::string& place) override;

 protected:
  /// `form` ("Parquet") is what messages call the file.
  ArrowRows(std::string file, std::string form);
  /// The next rows; null at the end.
  virtual std::shared_ptr<arrow::RecordBatch> next_batch() = 0;

  /// The places of the columns that the paths lead into; of no paths: all. A column may stand there several
  /// times in a row. Throws data (65): the paths lead into none.
  std::vector<int> chosen(const std::vector<std::string>& columns,
                          const std::vector<std::string>& paths) const;

  void require(const arrow::Status& status) const;
  template <class T>
  T value_of(arrow::Result<T> result) const {
    require(result.status());
    return std::move(result).ValueUnsafe();
  }

  /// Arrow's Parquet half throws exceptions of its own.
  template <class F>
  void guarded(F&& use) const {
    try {
      use();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& e) {
      fail_data("{}: cannot be read as {}: {}", file_, form_, e.what());
    }
  }

  const std::string file_;

 private:
  const std::string form_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  std::int64_t row_ = -1, line_ = 0;
};

}  // namespace rocket
