#include "formats/json_problem.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "formats/file_kind.h"
#include "formats/json_words.h"

namespace rocket {
namespace {

using View = std::string_view;

constexpr View kBlank = " \t\r\n";
constexpr View kByteOrderMark = "\xef\xbb\xbf";

/// The letters, digits and signs around a place.
View word_at(View text, std::size_t at) {
  if (text.empty()) return {};
  at = std::min(at, text.size() - 1);
  if (!is_in_json_word(text[at]) && at > 0) --at;
  std::size_t begin = at, end = at;
  while (begin > 0 && is_in_json_word(text[begin - 1])) --begin;
  while (end < text.size() && is_in_json_word(text[end])) ++end;
  return text.substr(begin, end - begin);
}

/// Names of Python and JavaScript that JSON lacks.
std::string word_problem(View word) {
  for (const View name : {"NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "-NaN"})
    if (word == name) return non_finite_problem(word);
  for (const View name : {"None", "True", "False"})
    if (word == name) return fmt::format("{} is Python, not JSON: write the file with json.dumps", word);
  if (word == "undefined") return "undefined is no value of JSON: write null";
  return "";
}

/// The first byte that is not part of a character of UTF-8; npos if all are. Overlong forms and surrogates,
/// which are rare, are left to the parser.
std::size_t first_stray_byte(View text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xC2 ? 0
                               : lead < 0xE0 ? 2
                               : lead < 0xF0 ? 3
                               : lead < 0xF5 ? 4
                                             : 0;
    if (length == 0 || at + length > text.size()) return at;
    for (std::size_t i = 1; i < length; ++i)
      if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) return at;
    at += length;
  }
  return View::npos;
}

std::string encoding_problem(View text) {
  const std::size_t at = first_stray_byte(text);
  if (at == View::npos) return "no UTF-8";
  return fmt::format("no UTF-8 (0x{:02x} at byte {}): convert the file, e.g. `iconv -f LATIN1 -t UTF-8`",
                     static_cast<unsigned char>(text[at]), at + 1);
}

char before(View text, std::size_t at) {
  const std::size_t last = text.substr(0, at).find_last_not_of(kBlank);
  return last == View::npos ? '\0' : text[last];
}

/// What the parser found at `at` in a text that begins as JSON does.
std::string problem_inside(View text, std::size_t at, View said) {
  const auto says = [&](View words) { return said.find(words) != View::npos; };
  if (says("surrogate"))
    return "a lone surrogate (\\ud800 to \\udfff), half of a character: write the whole character or leave "
           "it out";
  if (says("ill-formed UTF-8")) return encoding_problem(text);
  if (at >= text.size() && says("missing closing quote"))
    return "the text ends inside a string: it is cut short";
  if (at >= text.size())
    return "the text ends inside the value: a bracket is not closed, or the file is cut short";
  if (text.substr(at).starts_with(kByteOrderMark)) return "a byte order mark inside the file: remove it";
  if (const std::string words = word_problem(word_at(text, at)); !words.empty()) return words;
  const char c = text[at];
  if (says("control character"))
    return fmt::format("a bare control character (0x{:02x}) in a string: write it as \\u{:04x}",
                       static_cast<unsigned char>(c), static_cast<unsigned char>(c));
  if (says("invalid string")) return "";
  if (c == '\'') return "single quotes, as Python prints a dict: write the file with json.dumps";
  if ((c == '}' || c == ']') && before(text, at) == ',') return "a comma before the closing bracket";
  if (c == '/' || c == '#') return "a comment, which JSON does not have";
  if (says("expected end of input"))
    return text.find('\r') < text.size() - 1 ? "more text behind the value (lines that end in CR alone?)"
                                             : "more text behind the value";
  return "";
}

}  // namespace

std::string non_finite_problem(View word) {
  return fmt::format("{} is no value of JSON (pandas writes it for a missing one): write null", word);
}

std::string json_problem(View text, std::size_t byte, View said) {
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == View::npos) return "it is empty";
  if (text.starts_with(kByteOrderMark)) return "a byte order mark inside the file: remove it";
  if (const std::string kind = file_kind(text); !kind.empty()) return "it is " + kind;
  for (const View mark : {"<<<<<<<", "=======", ">>>>>>>"})
    if (text.starts_with(mark)) return "a merge conflict of Git";
  const std::size_t at = byte > 0 ? byte - 1 : 0;
  if (text[begin] == '{' || text[begin] == '[') return problem_inside(text, at, said);
  if (first_stray_byte(text) != View::npos) return encoding_problem(text);
  if (const std::string words = word_problem(word_at(text, begin)); !words.empty()) return words;
  return text_kind(text.substr(begin, text.find('\n', begin) - begin));
}

std::string no_valid_json(View text, std::size_t byte, View said) {
  const View read = text.substr(0, std::min(byte, text.size()));
  const auto line = 1 + std::count(read.begin(), read.end(), '\n');
  const std::string reason = json_problem(text, byte, said);
  return fmt::format("no valid JSON at byte {}{}{}{}", byte, line > 1 ? fmt::format(" (line {})", line) : "",
                     reason.empty() ? "" : ": ", reason);
}

void fail_json_file(const std::string& place, View text, std::size_t byte, View said) {
  refuse_other_kinds(text, place, "JSON");
  fail_data("{}: {}", place, no_valid_json(text, byte, said));
}

}  // namespace rocket
