#include "formats/arrow_rows.h"

#include <arrow/array.h>
#include <arrow/extension_type.h>
#include <arrow/scalar.h>
#include <arrow/util/utf8.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace rocket {
namespace {

using Kind = JsonValue::Kind;

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

}  // namespace

ArrowRows::ArrowRows(std::string file, std::string form) : file_(std::move(file)), form_(std::move(form)) {
  arrow::util::InitializeUTF8();  // without it everything is valid
}

bool ArrowRows::advance() {
  ++row_;
  while (!batch_ || row_ == batch_->num_rows()) {
    guarded([&] { batch_ = next_batch(); });
    if (!batch_) return false;
    row_ = 0;
  }
  ++line_;
  return true;
}

JsonValue ArrowRows::value(const std::string& place) {
  JsonValue object{Kind::object, {}, {}, {}};
  for (int i = 0; i < batch_->num_columns(); ++i) {
    object.keys.push_back(batch_->column_name(i));
    object.items.push_back(Cells(place, object.keys.back()).read(*batch_->column(i), row_));
  }
  return object;
}

std::vector<int> ArrowRows::chosen(const std::vector<std::string>& columns,
                                   const std::vector<std::string>& paths) const {
  std::vector<int> places;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const auto leads = [&](const std::string& path) { return leads_into(path, columns[i]); };
    if (paths.empty() || std::ranges::any_of(paths, leads)) places.push_back(static_cast<int>(i));
  }
  if (!places.empty() || paths.empty()) return places;
  std::vector<std::string> names = columns;
  names.erase(std::unique(names.begin(), names.end()), names.end());
  fail_data("{}: no column that a record is made of ({}); there are: {}", file_, fmt::join(paths, ", "),
            fmt::join(names, ", "));
}

void ArrowRows::require(const arrow::Status& status) const {
  if (!status.ok()) fail_data("{}: cannot be read as {}: {}", file_, form_, status.message());
}

}  // namespace rocket
