#include <arrow/array.h>
#include <arrow/extension_type.h>
#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/util/utf8.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/schema.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/parquet.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;
using Kind = JsonValue::Kind;

constexpr std::int64_t kBatchRows = 1024;

/// What stands in one cell; `place` and `column` are for messages.
class Cells {
 public:
  Cells(const std::string& place, const std::string& column) : place_(place), column_(column) {}

  JsonValue read(const arrow::Array& array, std::int64_t row) const {
    if (array.IsNull(row)) return {};
    switch (array.type_id()) {
      case arrow::Type::STRING:
      case arrow::Type::BINARY:
        return text(static_cast<const arrow::BinaryArray&>(array).GetView(row));
      case arrow::Type::LARGE_STRING:
      case arrow::Type::LARGE_BINARY:
        return text(static_cast<const arrow::LargeBinaryArray&>(array).GetView(row));
      case arrow::Type::STRING_VIEW:
      case arrow::Type::BINARY_VIEW:
        return text(static_cast<const arrow::BinaryViewArray&>(array).GetView(row));
      case arrow::Type::LIST:
      case arrow::Type::MAP:
        return list(*static_cast<const arrow::ListArray&>(array).value_slice(row));
      case arrow::Type::LARGE_LIST:
        return list(*static_cast<const arrow::LargeListArray&>(array).value_slice(row));
      case arrow::Type::FIXED_SIZE_LIST:
        return list(*static_cast<const arrow::FixedSizeListArray&>(array).value_slice(row));
      case arrow::Type::STRUCT:
        return object(static_cast<const arrow::StructArray&>(array), row);
      case arrow::Type::DICTIONARY:
        return coded(static_cast<const arrow::DictionaryArray&>(array), row);
      case arrow::Type::EXTENSION:
        return extended(static_cast<const arrow::ExtensionArray&>(array), row);
      default:
        return plain(array, row);
    }
  }

 private:
  JsonValue text(std::string_view bytes) const {
    if (!arrow::util::ValidateUTF8(bytes)) fail_data("{}: column '{}': no UTF-8", place_, column_);
    return {Kind::string, std::string(bytes), {}, {}};
  }

  JsonValue list(const arrow::Array& items) const {
    JsonValue value{Kind::array, {}, {}, {}};
    for (std::int64_t i = 0; i < items.length(); ++i) value.items.push_back(read(items, i));
    return value;
  }

  JsonValue object(const arrow::StructArray& array, std::int64_t row) const {
    JsonValue value{Kind::object, {}, {}, {}};
    for (int i = 0; i < array.num_fields(); ++i) {
      value.keys.push_back(array.type()->field(i)->name());
      value.items.push_back(read(*array.field(i), row));
    }
    return value;
  }

  JsonValue coded(const arrow::DictionaryArray& array, std::int64_t row) const {
    const std::int64_t index = array.GetValueIndex(row);
    if (index < 0 || index >= array.dictionary()->length())
      fail_data("{}: column '{}': entry {} of a dictionary of {}", place_, column_, index,
                array.dictionary()->length());
    return read(*array.dictionary(), index);
  }

  /// Text that is marked as JSON holds the value that it describes: lists of mixed content are written so.
  JsonValue extended(const arrow::ExtensionArray& array, std::int64_t row) const {
    JsonValue stored = read(*array.storage(), row);
    const auto& type = static_cast<const arrow::ExtensionType&>(*array.type());
    if (type.extension_name() != "arrow.json" || stored.kind != Kind::string) return stored;
    return parse_json_value(stored.text, fmt::format("{}: column '{}': JSON", place_, column_));
  }

  JsonValue plain(const arrow::Array& array, std::int64_t row) const {
    const arrow::Type::type type = array.type_id();
    const bool number = arrow::is_numeric(type) || arrow::is_decimal(type);
    if (!number && type != arrow::Type::BOOL)
      fail_data("{}: column '{}': values of type {} have no place in a record", place_, column_,
                array.type()->ToString());
    const auto scalar = array.GetScalar(row);
    if (!scalar.ok()) fail_data("{}: column '{}': {}", place_, column_, scalar.status().message());
    std::string written = scalar.ValueUnsafe()->ToString();
    if (written == "nan") return {};  // how data frames write a missing number
    if (written == "inf" || written == "-inf")
      fail_data("{}: column '{}': infinity has no place in a record", place_, column_);
    return {number ? Kind::number : Kind::boolean, std::move(written), {}, {}};
  }

  const std::string &place_, &column_;
};

bool leads_into(std::string_view path, std::string_view column) {
  return path == column ||
         (path.size() > column.size() && path.starts_with(column) && path[column.size()] == '.');
}

class ParquetReader : public ValueReader {
 public:
  ParquetReader(const fs::path& file, const std::vector<std::string>& paths) : file_(file.string()) {
    guarded([&] { open(paths); });
  }

  bool advance() override {
    ++row_;
    while (!batch_ || row_ == batch_->num_rows()) {
      guarded([&] { require(batches_->ReadNext(&batch_)); });
      if (!batch_) return false;
      row_ = 0;
    }
    ++line_;
    return true;
  }

  std::int64_t line() const override { return line_; }

  std::vector<std::string> columns() const override {
    return names_of(*reader_->parquet_reader()->metadata()->schema());
  }

  JsonValue value(const std::string& place) override {
    JsonValue object{Kind::object, {}, {}, {}};
    for (int i = 0; i < batch_->num_columns(); ++i) {
      object.keys.push_back(batch_->column_name(i));
      object.items.push_back(Cells(place, object.keys.back()).read(*batch_->column(i), row_));
    }
    return object;
  }

 private:
  void open(const std::vector<std::string>& paths) {
    arrow::util::InitializeUTF8();  // without it everything is valid
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
    batches_ = value_of(reader_->GetRecordBatchReader(groups, columns_of(paths)));
  }

  /// The leaves of the columns that the paths lead into.
  std::vector<int> columns_of(const std::vector<std::string>& paths) const {
    const parquet::SchemaDescriptor& schema = *reader_->parquet_reader()->metadata()->schema();
    std::vector<int> leaves;
    for (int i = 0; i < schema.num_columns(); ++i) {
      const std::string& column = schema.GetColumnRoot(i)->name();
      if (paths.empty() ||
          std::ranges::any_of(paths, [&](const std::string& path) { return leads_into(path, column); }))
        leaves.push_back(i);
    }
    if (leaves.empty())
      fail_data("{}: no column that a record is made of ({}); there are: {}", file_, fmt::join(paths, ", "),
                fmt::join(names_of(schema), ", "));
    return leaves;
  }

  static std::vector<std::string> names_of(const parquet::SchemaDescriptor& schema) {
    std::vector<std::string> names;
    for (int i = 0; i < schema.group_node()->field_count(); ++i)
      names.push_back(schema.group_node()->field(i)->name());
    return names;
  }

  void require(const arrow::Status& status) const {
    if (!status.ok()) fail_data("{}: cannot be read as Parquet: {}", file_, status.message());
  }

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
      fail_data("{}: cannot be read as Parquet: {}", file_, e.what());
    }
  }

  std::string file_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;  // outlives what reads through it
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  std::int64_t row_ = -1, line_ = 0;
};

}  // namespace

bool has_parquet() {
  return true;
}

std::unique_ptr<ValueReader> open_parquet(const fs::path& file, const std::vector<std::string>& paths) {
  return std::make_unique<ParquetReader>(file, paths);
}

}  // namespace rocket
