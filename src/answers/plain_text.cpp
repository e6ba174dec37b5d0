#include <algorithm>
#include <array>
#include <utility>

#include "answers/answer_text.h"
#include "text/unicode.h"

namespace rocket {
namespace {

/// The zeros of all scripts whose digits Unicode 14 knows (general category Nd); the other nine follow.
constexpr std::array<char32_t, 65> kZeros = {
    0x660,   0x6F0,   0x7C0,   0x966,   0x9E6,   0xA66,   0xAE6,   0xB66,   0xBE6,   0xC66,   0xCE6,
    0xD66,   0xDE6,   0xE50,   0xED0,   0xF20,   0x1040,  0x1090,  0x17E0,  0x1810,  0x1946,  0x19D0,
    0x1A80,  0x1A90,  0x1B50,  0x1BB0,  0x1C40,  0x1C50,  0xA620,  0xA8D0,  0xA900,  0xA9D0,  0xA9F0,
    0xAA50,  0xABF0,  0xFF10,  0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450,
    0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0,
    0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0};

std::optional<char> digit_of(char32_t c) {
  const auto above = std::upper_bound(kZeros.begin(), kZeros.end(), c);
  if (above == kZeros.begin()) return std::nullopt;
  const char32_t value = c - *std::prev(above);
  if (value > 9) return std::nullopt;
  return static_cast<char>('0' + value);
}

constexpr std::pair<char32_t, std::string_view> kSpellings[] = {
    {0x2010, "-"}, {0x2011, "-"}, {0x2012, "-"},  {0x2013, "-"},  {0x2212, "-"}, {0xFE63, "-"},
    {0x2018, "'"}, {0x2019, "'"}, {0x201C, "\""}, {0x201D, "\""}, {0x66B, "."},  {0x66C, ","},
    {0x2044, "/"}, {0x2215, "/"}, {0x22C5, "×"},  {0x2219, "×"},  {0xB7, "×"},   {0x2715, "×"},
    {0x2A2F, "×"}, {0x3001, ","}, {0x3002, ". "}, {0xFF61, ". "}, {0x300C, "("}, {0x300D, ")"},
    {0x3010, "("}, {0x3011, ")"}, {0x202F, " "},  {0xA0, " "},    {0x3000, " "}, {0x85, " "},
    {0x1680, " "}, {0x205F, " "}, {0x2028, "\n"}, {0x2029, "\n"}, {0xFFE5, "¥"}, {0x60C, ","},
    {0x964, ". "}, {0x6D4, ". "}, {0xFE52, "."},  {0xFE50, ","},  {0xFE69, "$"}, {0xFE6A, "%"}};

constexpr std::pair<char32_t, std::string_view> kFractions[] = {
    {0xBC, "1/4"},   {0xBD, "1/2"},   {0xBE, "3/4"},   {0x2150, "1/7"}, {0x2151, "1/9"}, {0x2152, "1/10"},
    {0x2153, "1/3"}, {0x2154, "2/3"}, {0x2155, "1/5"}, {0x2156, "2/5"}, {0x2157, "3/5"}, {0x2158, "4/5"},
    {0x2159, "1/6"}, {0x215A, "5/6"}, {0x215B, "1/8"}, {0x215C, "3/8"}, {0x215D, "5/8"}, {0x215E, "7/8"}};

std::optional<char> superscript_of(char32_t c) {
  if (c == 0x2070) return '0';
  if (c == 0xB9) return '1';
  if (c == 0xB2) return '2';
  if (c == 0xB3) return '3';
  if (c >= 0x2074 && c <= 0x2079) return static_cast<char>('0' + (c - 0x2070));
  if (c == 0x207B) return '-';
  return std::nullopt;
}

template <std::size_t N>
std::optional<std::string_view> spelling_in(const std::pair<char32_t, std::string_view> (&table)[N],
                                            char32_t c) {
  const auto* found = std::ranges::find(table, c, &std::pair<char32_t, std::string_view>::first);
  if (found == std::end(table)) return std::nullopt;
  return found->second;
}

/// Marks of direction and width, byte order marks, joiners.
bool is_invisible(char32_t c) {
  return (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x2069) ||
         c == 0xFEFF || c == 0x61C || c == 0xAD || (c >= 0xFE00 && c <= 0xFE0F);
}

void append_plain(std::string& out, char32_t c, bool& in_superscript) {
  const auto raised = superscript_of(c);
  if (raised && !out.empty() && (in_superscript || !is_white_space(previous_code_point(out, out.size())))) {
    if (!in_superscript) out += '^';
    in_superscript = true;
    out += *raised;
    return;
  }
  in_superscript = false;
  if (is_invisible(c) || raised) return;
  if (const auto digit = digit_of(c)) {
    out += *digit;
  } else if (c >= 0xFF01 && c <= 0xFF5E) {  // full-width ASCII
    out += static_cast<char>(c - 0xFF01 + '!');
  } else if (c >= 0x24B6 && c <= 0x24CF) {  // circled capitals
    out += static_cast<char>('A' + (c - 0x24B6));
  } else if (c >= 0x1D400 && c <= 0x1D6A3) {  // mathematical letters
    const auto place = static_cast<char>((c - 0x1D400) % 52);
    out += static_cast<char>(place < 26 ? 'A' + place : 'a' + place - 26);
  } else if (const auto fraction = spelling_in(kFractions, c)) {
    if (!out.empty() && is_ascii_digit(out.back())) out += ' ';
    out += *fraction;
  } else if (const auto spelling = spelling_in(kSpellings, c)) {
    out += *spelling;
  } else if (c >= 0x2000 && c <= 0x200A) {
    out += ' ';
  } else {
    append_utf8(out, c);
  }
}

std::string in_one_spelling(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_superscript = false;
  for (std::size_t at = 0; at < text.size();) {
    if (const auto byte = static_cast<unsigned char>(text[at]); byte < 0x80) {
      in_superscript = false;
      out += static_cast<char>(byte);
      ++at;
    } else {
      append_plain(out, next_code_point(text, at), in_superscript);
    }
  }
  return out;
}

// What is not listed here becomes a blank.
constexpr std::pair<std::string_view, std::string_view> kCommands[] = {
    {"times", "×"},    {"cdot", "×"},        {"ast", "×"},        {"div", "÷"},
    {"pi", "π"},       {"sqrt", "√"},        {"approx", "≈"},     {"pm", "±"},
    {"circ", "°"},     {"left", ""},         {"right", ""},       {"big", ""},
    {"Big", ""},       {"text", ""},         {"textbf", ""},      {"textit", ""},
    {"textrm", ""},    {"emph", ""},         {"mathrm", ""},      {"mathbf", ""},
    {"mathit", ""},    {"mathsf", ""},       {"mathtt", ""},      {"mbox", ""},
    {"texttt", ""},    {"boldsymbol", ""},   {"bm", ""},          {"operatorname", ""},
    {"underline", ""}, {"boxed", "\\boxed"}, {"fbox", "\\boxed"}, {"framebox", "\\boxed"},
    {"infty", "∞"},    {"displaystyle", ""}};

/// The end of the group or character that begins at `at`: behind "}" of "{...}".
std::size_t argument_end(std::string_view text, std::size_t at) {
  if (at >= text.size()) return at;
  if (text[at] != '{') {
    next_code_point(text, at);
    return at;
  }
  const std::size_t end = text.find_first_of("{}", at + 1);  // a group inside is no plain number
  return end == std::string_view::npos || text[end] == '{' ? at : end + 1;
}

/// The number in an argument of \frac, in ASCII; empty for anything else.
std::string number_in(std::string_view argument) {
  std::string number;
  for (const char c : argument) {
    if (is_ascii_digit(c) || c == '.' || (c == '-' && number.empty()))
      number += c;
    else if (c != '{' && c != '}' && c != ' ' && c != ',')
      return {};
  }
  return number == "-" ? "" : number;
}

class LatexResolver {
 public:
  explicit LatexResolver(std::string_view text) : text_(text) {}

  std::string resolve() {
    if (text_.find_first_of("\\{^") == std::string_view::npos) return std::string(text_);
    out_.reserve(text_.size());
    while (at_ < text_.size()) step();
    return std::move(out_);
  }

 private:
  void step() {
    const char c = text_[at_];
    if (c == '\\' && at_ + 1 < text_.size()) return command();
    if (text_.substr(at_).starts_with("{,}")) return replace(3, ",");
    if (text_.substr(at_).starts_with("{}")) return replace(2, "");
    if (c == '^' && at_ + 1 < text_.size() && text_[at_ + 1] == '{') return exponent();
    out_ += c;
    ++at_;
  }

  void replace(std::size_t bytes, std::string_view by) {
    out_ += by;
    at_ += bytes;
  }

  void exponent() {
    const std::size_t end = argument_end(text_, at_ + 1);
    const std::string_view inside = end > at_ + 2 ? text_.substr(at_ + 2, end - at_ - 3) : "";
    if (const std::string number = number_in(inside); !number.empty())
      return replace(end - at_, "^" + number);
    if (inside == "\\circ") return replace(end - at_, "°");
    replace(1, "^");
  }

  void command() {
    const char next = text_[at_ + 1];
    if (is_ascii_letter(next)) return named_command();
    if (next == '!') return replace(2, "");
    if (next == '(' || next == ')' || next == '[' || next == ']' || next == ',' || next == ';' ||
        next == ':' || next == '\\')
      return replace(2, " ");
    out_ += next == '\n' ? ' ' : next;  // \$, \%, "\ "
    at_ += 2;
    if (static_cast<unsigned char>(next) >= 0x80) {  // a character of several bytes
      while (at_ < text_.size() && is_utf8_continuation(text_[at_])) out_ += text_[at_++];
    }
  }

  void named_command() {
    std::size_t end = at_ + 1;
    while (end < text_.size() && is_ascii_letter(text_[end])) ++end;
    const std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
    if (name.ends_with("frac")) return fraction(end);
    const auto* found =
        std::ranges::find(kCommands, name, &std::pair<std::string_view, std::string_view>::first);
    if (name == "circ" && out_.ends_with('^')) out_.pop_back();
    replace(end - at_, found == std::end(kCommands) ? " " : found->second);
  }

  /// "3/4" where both are numbers; else roots, which no reader of numbers takes apart.
  void fraction(std::size_t begin) {
    const auto skip_blanks = [&](std::size_t at) {
      return std::min(text_.find_first_not_of(' ', at), text_.size());
    };
    const std::size_t above = skip_blanks(begin), above_end = argument_end(text_, above);
    const std::size_t below = skip_blanks(above_end), below_end = argument_end(text_, below);
    const std::string top = number_in(text_.substr(above, above_end - above));
    const std::string bottom = number_in(text_.substr(below, below_end - below));
    if (top.empty() || bottom.empty()) return replace(begin - at_, "√");
    if (!out_.empty() && is_ascii_digit(out_.back())) out_ += ' ';
    replace(below_end - at_, top + "/" + bottom);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string plain_text(std::string_view text) {
  const std::string spelled = in_one_spelling(text);
  return LatexResolver(spelled).resolve();
}

}  // namespace rocket
