#include "text/record.h"

#include <glob.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "formats/json_lines.h"
#include "formats/json_value.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;
using Kind = JsonValue::Kind;

const JsonValue* item_at(const JsonValue& list, std::string_view index) {
  std::size_t i = 0;
  const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), i);
  const bool whole = error == std::errc() && end == index.data() + index.size();
  return whole && i < list.items.size() ? &list.items[i] : nullptr;
}

/// Follows "a.b"; a key that holds the dot itself wins.
const JsonValue* follow(const JsonValue& value, std::string_view path) {
  if (const JsonValue* found = value.find(path)) return found;
  const std::size_t dot = path.find('.');
  const std::string_view head = path.substr(0, dot);
  const JsonValue* next = value.kind == Kind::array ? item_at(value, head) : value.find(head);
  if (!next || dot == std::string_view::npos) return next;
  return follow(*next, path.substr(dot + 1));
}

/// The fields of one object of the file, by our names.
class Fields {
 public:
  Fields(const JsonValue& object, const FieldNames& names, const std::string& place)
      : object_(object), names_(names), place_(place) {}

  /// nullptr if absent or null.
  const JsonValue* find(const std::string& ours) const {
    const JsonValue* found = follow(object_, theirs(ours));
    return found && found->kind != Kind::null ? found : nullptr;
  }

  std::optional<std::string> text(const std::string& ours) const {
    const JsonValue* found = find(ours);
    if (!found) return std::nullopt;
    if (found->kind != Kind::string) wrong(ours, "a string", *found);
    return found->text;
  }

  std::string required_text(const std::string& ours) const {
    auto found = text(ours);
    if (!found)
      fail_data("{}: {}: no key '{}' with a string; there are: {}", place_, ours, theirs(ours), keys());
    return *std::move(found);
  }

  std::optional<std::string> answer() const {
    const JsonValue* found = find("answer");
    if (!found) return std::nullopt;
    if (found->kind == Kind::array || found->kind == Kind::object)
      wrong("answer", "a string, a number or a boolean", *found);
    return found->text;
  }

  std::vector<std::string> tests() const {
    std::vector<std::string> statements;
    const JsonValue* found = find("tests");
    if (!found) return statements;
    if (found->kind != Kind::array) wrong("tests", "a list of strings", *found);
    for (const JsonValue& item : found->items) {
      if (item.kind != Kind::string) wrong("tests", "a list of strings", item);
      statements.push_back(item.text);
    }
    return statements;
  }

 private:
  const std::string& theirs(const std::string& ours) const {
    const auto it = names_.find(ours);
    return it == names_.end() ? ours : it->second;
  }

  std::string keys() const {
    constexpr std::size_t kShown = 12;
    std::string all;
    for (std::size_t i = 0; i < object_.keys.size() && i < kShown; ++i)
      all += fmt::format("{}'{}'", i ? ", " : "", object_.keys[i]);
    return object_.keys.empty() ? "none" : all + (object_.keys.size() > kShown ? ", ..." : "");
  }

  [[noreturn]] void wrong(const std::string& ours, std::string_view expected, const JsonValue& found) const {
    fail_data("{}: {}: key '{}': expected {}, got {}", place_, ours, theirs(ours), expected,
              name_of(found.kind));
  }

  const JsonValue& object_;
  const FieldNames& names_;
  const std::string& place_;
};

Record parse_record(std::string_view text, const FieldNames& names, const std::string& file,
                    std::int64_t line) {
  const std::string place = fmt::format("{}:{}", file, line);
  const JsonValue value = parse_json_value(text, place);
  if (value.kind != Kind::object) fail_data("{}: expected an object, got {}", place, name_of(value.kind));
  const Fields fields(value, names, place);
  Record record;
  record.instruction = fields.required_text("instruction");
  record.input = fields.text("input").value_or("");
  auto output = fields.text("output");
  record.has_output = output.has_value();
  record.output = std::move(output).value_or("");
  record.rationale = fields.text("rationale");
  if (record.rationale && record.rationale->empty()) record.rationale.reset();
  record.answer = fields.answer();
  record.tests = fields.tests();
  record.file = file;
  record.line = line;
  return record;
}

}  // namespace

struct RecordReader::Texts {
  explicit Texts(const fs::path& file) : texts(file) {}
  JsonTexts texts;
};

RecordReader::RecordReader(const fs::path& file, FieldNames fields)
    : file_(file.string()), fields_(std::move(fields)), texts_(std::make_unique<Texts>(file)) {
}
RecordReader::~RecordReader() = default;

bool RecordReader::next(Record& record) {
  std::string_view text;
  std::int64_t line = 0;
  if (!texts_->texts.next(text, line)) return false;
  record = parse_record(text, fields_, file_, line);
  return true;
}

bool RecordReader::skip() {
  std::string_view text;
  std::int64_t line = 0;
  return texts_->texts.next(text, line);
}

void require_output(const Record& record) {
  if (!record.has_output)
    fail_data("{}:{}: no 'output': a corpus record needs one (corpus.fields maps other names)", record.file,
              record.line);
}

void for_each_record(const fs::path& file, const FieldNames& fields,
                     const std::function<void(Record&&)>& use) {
  RecordReader reader(file, fields);
  for (Record record; reader.next(record);) use(std::move(record));
}

std::vector<Record> read_records(const fs::path& file, const FieldNames& fields) {
  std::vector<Record> records;
  for_each_record(file, fields, [&](Record&& record) { records.push_back(std::move(record)); });
  return records;
}

namespace {

bool is_folder(const fs::path& path) {
  std::error_code unreadable;
  return fs::is_directory(path, unreadable);
}

/// Files only, sorted by bytes: glob's own order depends on the locale.
std::vector<fs::path> matches_of(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> names;
  if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0)
    names.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::erase_if(names, [](const std::string& name) { return is_folder(name); });
  std::sort(names.begin(), names.end());
  return {names.begin(), names.end()};
}

}  // namespace

std::vector<fs::path> expand_globs(const std::vector<std::string>& patterns) {
  std::vector<fs::path> files;
  for (const std::string& pattern : patterns) {
    if (is_folder(pattern))
      fail_config("{}: is a folder; name its files, e.g. {}", pattern,
                  (fs::path(pattern) / "*.jsonl").string());
    std::error_code unreadable;
    if (fs::exists(pattern, unreadable)) {  // a name with brackets in it, too
      files.emplace_back(pattern);
      continue;
    }
    const auto matches = matches_of(pattern);
    if (matches.empty()) fail_config("{}: there is no such file", pattern);
    files.insert(files.end(), matches.begin(), matches.end());
  }
  return files;
}

}  // namespace rocket
