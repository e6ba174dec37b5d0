#include "formats/value_reader.h"

#include "formats/byte_stream.h"
#include "formats/file_kind.h"
#include "formats/json_lines.h"
#include "formats/parquet.h"

namespace rocket {
namespace {

class JsonReader : public ValueReader {
 public:
  explicit JsonReader(const std::filesystem::path& file) : texts_(file) {}
  bool advance() override { return texts_.next(text_, line_); }
  std::int64_t line() const override { return line_; }
  JsonValue value(const std::string& place) override { return parse_json_value(text_, place); }

 private:
  JsonTexts texts_;
  std::string_view text_;
  std::int64_t line_ = 0;
};

}  // namespace

std::unique_ptr<ValueReader> open_values(const std::filesystem::path& file,
                                         const std::vector<std::string>& paths) {
  const Columnar form = columnar_form(file);
  if (form == Columnar::none) return std::make_unique<JsonReader>(file);
  // Without Arrow, too: what it is goes before whether it could be read.
  if (form == Columnar::parquet) {
    refuse_other_kinds(first_bytes(file), file.string(), "Parquet", "a Parquet");
    return open_parquet(file, paths);
  }
  refuse_other_kinds(first_bytes(file), file.string(), "an Arrow file", "an Arrow");
  return open_arrow(file, paths);
}

}  // namespace rocket
