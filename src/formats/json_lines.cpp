#include "formats/json_lines.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "formats/byte_stream.h"
#include "formats/file_kind.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChunk = 1 << 18;
constexpr std::size_t kMaxRecord = std::size_t{1} << 30;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::string_view kBlank = " \t\r\n";  // the white space of JSON

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kBlank) == std::string_view::npos;
}

/// The bytes of a stream, a chunk at a time.
class Chunks {
 public:
  explicit Chunks(ByteStream& stream) : stream_(stream), chunk_(kChunk) {}

  /// What is left of the current chunk, or the next one; empty at the end of the stream.
  std::string_view available() {
    if (at_ == end_) fill();
    return {chunk_.data() + at_, end_ - at_};
  }
  void consume(std::size_t n) { at_ += n; }

  /// Passes over the white space of JSON; returns how many lines ended in it.
  std::int64_t skip_blank() {
    std::int64_t lines = 0;
    for (std::string_view text = available(); !text.empty(); text = available()) {
      const std::size_t n = std::min(text.find_first_not_of(kBlank), text.size());
      lines += std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n), '\n');
      consume(n);
      if (n < text.size()) break;
    }
    return lines;
  }

 private:
  void fill() {
    at_ = end_ = 0;
    for (std::size_t n = 1; n > 0 && end_ < chunk_.size(); end_ += n)
      n = stream_.read(std::span(chunk_).subspan(end_));
  }

  ByteStream& stream_;
  std::vector<char> chunk_;
  std::size_t at_ = 0, end_ = 0;
};

/// Appends to the text of one record, which the memory must hold.
void append(std::string& text, std::string_view piece, const std::string& file, std::int64_t line) {
  if (text.size() + piece.size() > kMaxRecord)
    fail_data("{}:{}: a record of more than {} bytes", file, line, kMaxRecord);
  text += piece;
}

/// Lines of a stream; a line that lies whole in a chunk is not copied. The CR of a CRLF stays: to JSON it is
/// white space.
class LineReader {
 public:
  LineReader(Chunks& chunks, std::string file, std::int64_t lines_before)
      : chunks_(chunks), file_(std::move(file)), number_(lines_before) {}

  /// The next line without its end, valid until the next call; false at the end of the stream.
  bool next(std::string_view& line) {
    pending_.clear();
    for (std::string_view text = chunks_.available(); !text.empty(); text = chunks_.available()) {
      const std::size_t newline = text.find('\n');
      const std::string_view piece = text.substr(0, newline);
      chunks_.consume(piece.size() + (newline != std::string_view::npos));
      if (newline != std::string_view::npos && pending_.empty()) return take(piece, line);
      append(pending_, piece, file_, number_ + 1);
      if (newline != std::string_view::npos) return take(pending_, line);
    }
    return !pending_.empty() && take(pending_, line);
  }

  std::int64_t number() const { return number_; }

 private:
  bool take(std::string_view whole, std::string_view& line) {
    line = whole;
    ++number_;
    return true;
  }

  Chunks& chunks_;
  std::string file_, pending_;
  std::int64_t number_;
};

/// Follows one object over the lines that it is printed on.
class ObjectSpan {
 public:
  /// How much of a line belongs to the object: up to the bracket that closes it, or all.
  std::size_t pass(std::string_view line) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      take(line[i]);
      if (is_closed()) return i + 1;
    }
    return line.size();
  }

  bool is_closed() const { return open_.empty(); }

  /// Whether the object can go on in a line that begins so; a broken one ends where the next object begins.
  bool goes_on_with(char first) const {
    if (in_string_) return false;
    if (last_ == '{') return first == '"' || first == '}';
    if (last_ == ',' && open_.back() == '{') return first == '"';
    const bool wants_value = last_ == ',' || last_ == ':' || last_ == '[';
    return (std::string_view(",:}]").find(first) == std::string_view::npos ||
            (last_ == '[' && first == ']')) == wants_value;
  }

 private:
  void take(char c) {
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
      return;
    }
    if (kBlank.find(c) != std::string_view::npos) return;
    last_ = c;
    in_string_ = c == '"';
    if (c == '{' || c == '[') open_.push_back(c);
    if ((c == '}' || c == ']') && !open_.empty()) open_.pop_back();
  }

  std::string open_;  // the brackets that are not closed yet
  char last_ = '\0';  // the last character that is not blank
  bool in_string_ = false, escaped_ = false;
};

/// Values one behind the other: one a line; objects also over several lines, or several in one.
class ValueCutter {
 public:
  ValueCutter(Chunks& chunks, std::string file, std::int64_t lines_before)
      : lines_(chunks, file, lines_before), file_(std::move(file)) {}

  bool next(std::string_view& text, std::int64_t& line) {
    if (!next_line(text)) return false;
    line = lines_.number();
    if (may_be_cut(text)) text = cut(text);
    return true;
  }

 private:
  /// What is left of a line, or the next one that is not blank.
  bool next_line(std::string_view& line) {
    line = std::exchange(rest_, {});
    while (is_blank(line))
      if (!lines_.next(line)) return false;
    return true;
  }

  /// An object that does not end with its line, or not behind its first '}'. Cheap, because nearly all do.
  static bool may_be_cut(std::string_view line) {
    const std::size_t begin = line.find_first_not_of(kBlank), end = line.find_last_not_of(kBlank);
    return line[begin] == '{' && (line[end] != '}' || line.find("}{") != std::string_view::npos);
  }

  std::string_view cut(std::string_view line) {
    ObjectSpan object;
    if (const std::size_t length = object.pass(line); object.is_closed() && leaves(line.substr(length)))
      return line.substr(0, length);
    text_.clear();
    append(text_, line, file_, lines_.number());
    while (!object.is_closed() && next_line(line)) {
      if (!object.goes_on_with(line[line.find_first_not_of(kBlank)])) {
        rest_ = line;
        break;
      }
      const std::size_t length = object.pass(line);
      const bool ends = object.is_closed() && leaves(line.substr(length));
      append(text_, "\n", file_, lines_.number());
      append(text_, ends ? line.substr(0, length) : line, file_, lines_.number());
    }
    return text_;
  }

  /// Keeps what stands behind an object where it can be another one; all else makes the line a broken one.
  bool leaves(std::string_view behind) {
    const std::size_t next = behind.find_first_not_of(kBlank);
    if (next == std::string_view::npos) return true;
    if (behind[next] != '{') return false;
    rest_ = behind;
    return true;
  }

  LineReader lines_;
  std::string file_, text_;
  std::string_view rest_;  // of the line that was read last
};

/// Cuts an array into the texts of its elements, holding one at a time.
class ArrayCutter {
 public:
  /// The stream stands at the '['.
  ArrayCutter(Chunks& chunks, std::string file, std::int64_t lines_before)
      : chunks_(chunks), file_(std::move(file)), line_(lines_before + 1) {
    chunks_.consume(1);
    line_ += chunks_.skip_blank();
  }

  /// False behind the last element, when the rest of the file has been checked.
  bool next(std::string_view& element, std::int64_t& line) {
    if (first_ ? peek() == ']' : peek() != ',') return finish();
    if (!first_) {
      chunks_.consume(1);
      line_ += chunks_.skip_blank();
    }
    first_ = false;
    line = line_;
    cut();
    element = element_;
    return true;
  }

 private:
  bool finish() {
    if (peek() != ']') fail_data("{}:{}: expected ',' or ']' in the array", file_, line_);
    chunks_.consume(1);
    line_ += chunks_.skip_blank();
    if (!chunks_.available().empty())
      fail_data(
          "{}:{}: text behind the end of the array; a file of one object a line must not begin with '['",
          file_, line_);
    return false;
  }

  char peek() {
    const std::string_view text = chunks_.available();
    return text.empty() ? '\0' : text.front();
  }

  /// Up to the ',' or ']' that belongs to the array. Brackets need not match: the parser of the element
  /// looks.
  void cut() {
    element_.clear();
    const std::int64_t line = line_;
    Place place;
    while (!place.done) {
      const std::string_view text = chunks_.available();
      if (text.empty()) fail_data("{}:{}: the array is cut short", file_, line);
      const std::string_view piece = text.substr(0, pass(text, place));
      append(element_, piece, file_, line);
      line_ += std::count(piece.begin(), piece.end(), '\n');
      chunks_.consume(piece.size());
    }
  }

  /// Where in an element the cutter stands, from one chunk to the next.
  struct Place {
    std::int64_t depth = 0;
    bool in_string = false, escaped = false, done = false;
  };

  /// How much of `text` belongs to the element.
  static std::size_t pass(std::string_view text, Place& place) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (place.in_string) {
        place.in_string = place.escaped || c != '"';
        place.escaped = !place.escaped && c == '\\';
      } else if (place.depth == 0 && (c == ',' || c == ']')) {
        place.done = true;
        return i;
      } else {
        place.in_string = c == '"';
        place.depth += (c == '{' || c == '[') - (place.depth > 0 && (c == '}' || c == ']'));
      }
    }
    return text.size();
  }

  Chunks& chunks_;
  std::string file_, element_;
  std::int64_t line_;
  bool first_ = true;
};

/// The name ends in .jsonl, but for the ending of what packed it.
bool is_named_jsonl(const fs::path& file) {
  return (is_packed_name(file) ? file.stem() : file).extension() == ".jsonl";
}

/// Whether the text that begins with '[' is one array of records. Lines of a .jsonl may begin so, too: then
/// each is a value of its own, which whoever takes it refuses; but an array of objects is what people keep
/// under that name as well.
bool is_array(std::string_view front, const fs::path& file) {
  if (!front.starts_with('[')) return false;
  const std::size_t next = front.find_first_not_of(kBlank, 1);
  return !is_named_jsonl(file) || (next != std::string_view::npos && front[next] == '{');
}

}  // namespace

class JsonTexts::Reader {
 public:
  explicit Reader(const fs::path& file) : stream_(open_stream(file)), chunks_(*stream_) {
    // A page or an archive is no file of broken records: it is no file of records.
    refuse_other_kinds(chunks_.available(), file.string(), "JSON or JSONL");
    if (chunks_.available().starts_with(kByteOrderMark)) chunks_.consume(kByteOrderMark.size());
    const std::int64_t lines = chunks_.skip_blank();
    if (is_array(chunks_.available(), file))
      array_.emplace(chunks_, file.string(), lines);
    else
      values_.emplace(chunks_, file.string(), lines);
  }

  bool next(std::string_view& text, std::int64_t& line) {
    return array_ ? array_->next(text, line) : values_->next(text, line);
  }

 private:
  std::unique_ptr<ByteStream> stream_;
  Chunks chunks_;
  std::optional<ValueCutter> values_;
  std::optional<ArrayCutter> array_;
};

JsonTexts::JsonTexts(const fs::path& file) : reader_(std::make_unique<Reader>(file)) {
}
JsonTexts::~JsonTexts() = default;
bool JsonTexts::next(std::string_view& text, std::int64_t& line) {
  return reader_->next(text, line);
}

}  // namespace rocket
