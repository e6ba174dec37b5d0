#include "formats/json_lines.h"

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/byte_stream.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChunk = 1 << 18;
constexpr std::size_t kMaxLine = std::size_t{1} << 30;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::string_view kBlank = " \t\r\n";  // the white space of JSON

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kBlank) == std::string_view::npos;
}

/// Lines of a stream; a line that lies whole in a chunk is not copied. The CR of a CRLF stays: to JSON it is
/// white space.
class LineReader {
 public:
  LineReader(ByteStream& stream, std::string file)
      : stream_(stream), file_(std::move(file)), chunk_(kChunk) {}

  /// The next line without its end, valid until the next call; false at the end of the stream.
  bool next(std::string_view& line) {
    pending_.clear();
    while (true) {
      if (at_ == end_ && !fill()) break;
      const char* begin = chunk_.data() + at_;
      const char* newline = static_cast<const char*>(std::memchr(begin, '\n', end_ - at_));
      const std::string_view piece(begin,
                                   newline ? newline - begin : static_cast<std::ptrdiff_t>(end_ - at_));
      at_ += piece.size() + (newline ? 1 : 0);
      if (newline && pending_.empty()) return take(piece, line);
      append(piece);
      if (newline) return take(pending_, line);
    }
    return !pending_.empty() && take(pending_, line);
  }

  std::int64_t number() const { return number_; }

 private:
  bool fill() {
    at_ = 0;
    end_ = stream_.read(chunk_);
    return end_ > 0;
  }

  void append(std::string_view piece) {
    if (pending_.size() + piece.size() > kMaxLine)
      fail_data("{}:{}: a line of more than {} bytes", file_, number_ + 1, kMaxLine);
    pending_ += piece;
  }

  bool take(std::string_view whole, std::string_view& line) {
    line = whole;
    if (++number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    return true;
  }

  ByteStream& stream_;
  std::string file_, pending_;
  std::vector<char> chunk_;
  std::size_t at_ = 0, end_ = 0;
  std::int64_t number_ = 0;
};

/// Cuts the text of an array into the texts of its elements.
class ArrayCutter {
 public:
  ArrayCutter(std::string text, std::string file, std::int64_t line)
      : text_(std::move(text)), file_(std::move(file)), line_(line) {
    skip_blank();
    ++at_;  // '['
    skip_blank();
  }

  /// False behind the last element, when the rest of the file has been checked.
  bool next(std::string_view& element, std::int64_t& line) {
    if (!first_ && peek() == ',') {
      ++at_;
      skip_blank();
    } else if (!first_ || peek() == ']') {
      return finish();
    }
    first_ = false;
    line = line_;
    element = cut();
    return true;
  }

 private:
  bool finish() {
    if (peek() != ']') fail_data("{}:{}: expected ',' or ']' in the array", file_, line_);
    ++at_;
    skip_blank();
    if (at_ < text_.size()) fail_data("{}:{}: text behind the end of the array", file_, line_);
    return false;
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_blank() {
    for (; at_ < text_.size() && kBlank.find(text_[at_]) != std::string_view::npos; ++at_)
      line_ += text_[at_] == '\n';
  }

  /// Up to the ',' or ']' that belongs to the array. Brackets need not match: the parser of the element
  /// looks.
  std::string_view cut() {
    const std::size_t begin = at_;
    const std::int64_t line = line_;
    std::int64_t depth = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') skip_string();
      if (depth == 0 && (c == ',' || c == ']')) break;
      depth += (c == '{' || c == '[') - (c == '}' || c == ']');
      line_ += c == '\n';
    }
    if (at_ >= text_.size()) fail_data("{}:{}: the array is cut short", file_, line);
    return std::string_view(text_).substr(begin, at_ - begin);
  }

  /// From an opening quote to its closing one, or to the end.
  void skip_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      line_ += text_[at_] == '\n';
      if (text_[at_] == '\\') ++at_;
    }
  }

  std::string text_, file_;
  std::int64_t line_;
  std::size_t at_ = 0;
  bool first_ = true;
};

/// The name without .gz or .zst ends in .jsonl.
bool is_named_jsonl(const fs::path& file) {
  const auto suffix = file.extension();
  return (suffix == ".gz" || suffix == ".zst" ? file.stem().extension() : suffix) == ".jsonl";
}

std::string rest_of(LineReader& lines, std::string_view first) {
  std::string text(first);
  for (std::string_view line; lines.next(line);) {
    text += '\n';
    text += line;
  }
  return text;
}

}  // namespace

class JsonTexts::Reader {
 public:
  explicit Reader(const fs::path& file)
      : file_(file), stream_(open_stream(file)), lines_(*stream_, file.string()) {}

  bool next(std::string_view& text, std::int64_t& line) {
    if (array_) return array_->next(text, line);
    do {
      if (!lines_.next(text)) return false;
    } while (is_blank(text));
    line = lines_.number();
    const bool array = first_ && text[text.find_first_not_of(kBlank)] == '[' && !is_named_jsonl(file_);
    first_ = false;
    if (!array) return true;
    array_.emplace(rest_of(lines_, text), file_.string(), line);
    return array_->next(text, line);
  }

 private:
  fs::path file_;
  std::unique_ptr<ByteStream> stream_;
  LineReader lines_;
  std::optional<ArrayCutter> array_;
  bool first_ = true;
};

JsonTexts::JsonTexts(const fs::path& file) : reader_(std::make_unique<Reader>(file)) {
}
JsonTexts::~JsonTexts() = default;
bool JsonTexts::next(std::string_view& text, std::int64_t& line) {
  return reader_->next(text, line);
}

void for_each_json_text(const fs::path& file,
                        const std::function<void(std::string_view, std::int64_t)>& use) {
  JsonTexts texts(file);
  std::string_view text;
  for (std::int64_t line = 0; texts.next(text, line);) use(text, line);
}

}  // namespace rocket
