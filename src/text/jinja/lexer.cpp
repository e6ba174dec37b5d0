#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "text/unicode.h"

namespace rocket::jinja {
namespace {

constexpr auto npos = std::string_view::npos;
constexpr std::array<std::string_view, 26> kSigns = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                     "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                     ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Line ends become \n; one at the very end goes.
std::string with_plain_line_ends(std::string_view source) {
  std::string plain;
  for (std::size_t at = 0; at < source.size(); ++at) {
    if (source[at] == '\r' && source.substr(at + 1).starts_with('\n')) continue;
    plain += source[at] == '\r' ? '\n' : source[at];
  }
  if (plain.ends_with('\n')) plain.pop_back();
  return plain;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)), rest_(source_) {}

  std::vector<Lexeme> tokens() {
    while (at_ < source_.size()) root();
    add(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  Place place() {
    for (; counted_ < at_; ++counted_) {
      const bool line = source_[counted_] == '\n';
      place_ = line ? Place{place_.line + 1, 1} : Place{place_.line, place_.column + 1};
    }
    return place_;
  }

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
    throw Problem(fmt::format(format, std::forward<Args>(args)...), place());
  }

  std::string_view rest() const { return rest_.substr(at_); }
  bool takes(std::string_view word) {
    if (!rest().starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), place()}); }

  void skip_space() {
    while (at_ < source_.size()) {
      std::size_t behind = at_;
      if (!is_python_space(next_code_point(source_, behind))) return;
      at_ = behind;
    }
  }

  /// Text up to the next mark, and what the mark opens.
  void root() {
    const std::size_t begin = at_;
    std::size_t mark = rest_.find('{', at_);
    while (mark != npos && mark + 1 < source_.size() &&
           std::string_view("%{#").find(source_[mark + 1]) == npos)
      mark = rest_.find('{', mark + 1);
    if (mark == npos || mark + 1 >= source_.size()) mark = source_.size();
    const char kind = mark < source_.size() ? source_[mark + 1] : '\0';
    const char sign = mark + 2 < source_.size() ? source_[mark + 2] : '\0';
    add_data(rest_.substr(begin, mark - begin), kind == '\0' ? '+' : sign, kind != '{');
    at_ = mark;
    if (kind == '\0') return;
    const Place start = place();
    at_ += sign == '-' || sign == '+' ? 3 : 2;
    if (kind == '#') return comment(start);
    if (kind == '%' && raw_begins()) return raw(start);
    tokens_.push_back({kind == '%' ? TokenKind::begin_tag : TokenKind::begin_print, "", start});
    inside(kind == '%');
  }

  /// `lstrips`: the mark is of a tag or a comment, which take the blanks of their line away.
  void add_data(std::string_view text, char sign, bool lstrips) {
    if (sign == '-') {
      text = strip_white_space_behind(text);
    } else if (sign != '+' && lstrips) {
      const std::size_t line = text.rfind('\n') + 1;  // npos + 1 is 0
      if ((line > 0 || line_begins_) && strip_white_space(text.substr(line)).empty())
        text = text.substr(0, line);
    }
    if (!text.empty()) add(TokenKind::data, std::string(text));
  }

  /// What follows a closing mark: with '-' all white space goes, else the line end behind a tag or a comment.
  void close(char sign, bool trims) {
    const std::size_t begin = at_;
    if (sign == '-')
      skip_space();
    else if (sign != '+' && trims)
      takes("\n");
    line_begins_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  void comment(Place start) {
    const std::size_t end = rest_.find("#}", at_);
    if (end == npos) throw Problem("the comment has no end", start);
    const char sign = end > at_ ? source_[end - 1] : '\0';
    at_ = end + 2;
    close(sign, true);
  }

  bool raw_begins() {
    const std::size_t begin = at_;
    skip_space();
    if (takes("raw")) {
      skip_space();
      const bool strips = takes("-%}");
      if (strips) skip_space();
      if (strips || takes("%}")) return true;
    }
    at_ = begin;
    return false;
  }

  void raw(Place start) {
    const std::size_t begin = at_;
    for (std::size_t mark = rest_.find("{%", at_); mark != npos; mark = rest_.find("{%", mark + 1)) {
      at_ = mark + 2;
      const char before = takes("-") ? '-' : takes("+") ? '+' : '\0';
      skip_space();
      if (!takes("endraw")) continue;
      skip_space();
      const char behind = takes("-") ? '-' : takes("+") ? '+' : '\0';
      if (!takes("%}")) continue;
      const std::size_t end = at_;
      at_ = begin;
      line_begins_ = source_[begin - 1] == '\n';
      add_data(rest_.substr(begin, mark - begin), before, true);
      at_ = end;
      return close(behind, true);
    }
    throw Problem("{% raw %} has no {% endraw %}", start);
  }

  bool ends(bool tag) {
    const std::string_view mark = tag ? "%}" : "}}";
    const char sign = at_ < source_.size() ? source_[at_] : '\0';
    const bool has_sign = (sign == '-' || (sign == '+' && tag)) && rest().substr(1).starts_with(mark);
    if (!has_sign && !rest().starts_with(mark)) return false;
    add(tag ? TokenKind::end_tag : TokenKind::end_print, std::string(mark));
    at_ += mark.size() + (has_sign ? 1 : 0);
    close(has_sign ? sign : '\0', tag);
    return true;
  }

  void inside(bool tag) {
    std::string open;  // brackets: within them a closing mark is none
    while (true) {
      skip_space();
      if (open.empty() && ends(tag)) return;
      if (at_ >= source_.size()) fail("the template ends inside {}", tag ? "{% ... %}" : "{{ ... }}");
      if (number() || name() || quoted()) continue;
      sign(open);
    }
  }

  /// Digits with single underscores between them, from `at`; where they end.
  std::size_t digits_end(std::size_t at) const {
    while (at < source_.size() &&
           (is_digit(source_[at]) || (source_[at] == '_' && at + 1 < source_.size() &&
                                      is_digit(source_[at + 1]) && is_digit(source_[at - 1]))))
      ++at;
    return at;
  }

  std::size_t fraction_end(std::size_t at) const {
    const bool fraction = at + 1 < source_.size() && source_[at] == '.' && is_digit(source_[at + 1]);
    return fraction ? digits_end(at + 1) : at;
  }

  std::size_t exponent_end(std::size_t at) const {
    if (at >= source_.size() || (source_[at] != 'e' && source_[at] != 'E')) return at;
    const std::size_t sign =
        at + 1 < source_.size() && (source_[at + 1] == '+' || source_[at + 1] == '-') ? 1 : 0;
    const std::size_t end =
        at + 1 + sign < source_.size() && is_digit(source_[at + 1 + sign]) ? digits_end(at + 1 + sign) : at;
    return end;
  }

  bool number() {
    if (!is_digit(source_[at_])) return false;
    const std::size_t whole = digits_end(at_);
    const bool may_be_float = at_ == 0 || source_[at_ - 1] != '.';
    const std::size_t end = may_be_float ? exponent_end(fraction_end(whole)) : whole;
    const bool prefixed = source_[at_] == '0' && whole == at_ + 1 && whole < source_.size() &&
                          std::string_view("xXoObB").find(source_[whole]) != npos;
    if (prefixed) fail("numbers in hexadecimal, octal or binary are not known");
    std::string digits(rest_.substr(at_, end - at_));
    std::erase(digits, '_');
    if (end == whole && digits.size() > 1 && digits[0] == '0' && digits.find_first_not_of('0') != npos)
      fail("a number that begins with 0: {}", digits);
    add(end == whole ? TokenKind::integer : TokenKind::floating, digits);
    at_ = end;
    return true;
  }

  bool name() {
    std::size_t end = at_;
    while (end < source_.size()) {
      std::size_t behind = end;
      if (!is_word_character(next_code_point(source_, behind))) break;
      end = behind;
    }
    if (end == at_) return false;
    add(TokenKind::name, source_.substr(at_, end - at_));
    at_ = end;
    return true;
  }

  bool quoted() {
    const char quote = source_[at_];
    if (quote != '\'' && quote != '"') return false;
    std::size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("the text that begins here has no closing {}", quote);
    const Place start = place();
    ++at_;
    std::string text;
    while (at_ < end) {
      if (source_[at_] == '\\')
        escape(text);
      else
        text += source_[at_++];
    }
    ++at_;
    tokens_.push_back({TokenKind::text, std::move(text), start});
    return true;
  }

  char32_t hexadecimal(std::size_t digits) {
    char32_t code = 0;
    for (std::size_t i = 0; i < digits; ++i, ++at_) {
      const std::size_t digit =
          std::string_view("0123456789abcdef").find(static_cast<char>(source_[at_] | 0x20));
      if (digit == npos || source_[at_] < '0')
        fail("an escape with {} hexadecimal digits was expected", digits);
      code = code * 16 + static_cast<char32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail("an escape that is no character");
    return code;
  }

  char32_t octal() {
    char32_t code = 0;
    for (int i = 0; i < 3 && source_[at_] >= '0' && source_[at_] <= '7'; ++i, ++at_)
      code = code * 8 + static_cast<char32_t>(source_[at_] - '0');
    return code;
  }

  /// As Python reads it; an unknown one stays as it is written.
  void escape(std::string& text) {
    static constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeant = "\a\b\f\n\r\t\v\\'\"";
    const char letter = source_[++at_];
    if (letter >= '0' && letter <= '7') return append_utf8(text, octal());
    ++at_;
    if (const std::size_t i = kLetters.find(letter); i != npos)
      text += kMeant[i];
    else if (letter == 'x')
      append_utf8(text, hexadecimal(2));
    else if (letter == 'u')
      append_utf8(text, hexadecimal(4));
    else if (letter == 'U')
      append_utf8(text, hexadecimal(8));
    else if (letter == 'N' || static_cast<unsigned char>(letter) >= 0x80)
      fail("an escape that is not known");
    else if (letter != '\n')
      text += {'\\', letter};
  }

  void sign(std::string& open) {
    const auto found =
        std::ranges::find_if(kSigns, [&](std::string_view sign) { return rest().starts_with(sign); });
    if (found == kSigns.end()) fail("the character '{}' begins nothing that is known", shown_character());
    const std::size_t bracket = std::string_view("([{").find(*found);
    if (bracket != npos) open += ")]}"[bracket];
    if (std::string_view(")]}").find(*found) != npos) {
      if (!open.ends_with(*found)) fail("a '{}' that closes nothing", *found);
      open.pop_back();
    }
    add(TokenKind::sign, std::string(*found));
    at_ += found->size();
  }

  std::string_view shown_character() const {
    std::size_t end = at_;
    next_code_point(source_, end);
    return rest_.substr(at_, end - at_);
  }

  std::string source_;
  std::string_view rest_;
  std::size_t at_ = 0, counted_ = 0;
  Place place_;
  bool line_begins_ = true;
  std::vector<Lexeme> tokens_;
};

}  // namespace

std::vector<Lexeme> lex(std::string_view source) {
  return Lexer(with_plain_line_ends(source)).tokens();
}

}  // namespace rocket::jinja
