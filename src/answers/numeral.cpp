#include "answers/numeral.h"

#include <algorithm>
#include <array>
#include <utility>

#include "answers/answer_text.h"
#include "text/unicode.h"

namespace rocket {
namespace {

constexpr std::array<std::string_view, 12> kCurrencies = {"$",   "€", "£", "¥", "₹", "₩",
                                                          "₽", "₺", "₫", "₴", "₪", "¢"};
/// Words that digits may touch: currencies, and "is14" of a model that forgets blanks.
constexpr std::array<std::string_view, 20> kTouching = {"usd",    "eur",    "gbp", "inr", "cad", "aud", "chf",
                                                        "jpy",    "rmb",    "cny", "rs",  "us",  "kr",  "is",
                                                        "answer", "equals", "to",  "are", "was", "be"};
/// Behind these a minus that stands apart, or the word, is a sign.
constexpr std::array<std::string_view, 18> kBeforeSign = {
    "is",      "are",    "was",  "be",  "equals", "to",  "of", "get",    "gives",
    "becomes", "obtain", "have", "ist", "es",     "est", "by", "answer", "result"};
constexpr std::pair<std::string_view, int> kMultipliers[] = {
    {"hundred", 2},   {"thousand", 3}, {"million", 6},   {"millions", 6},
    {"billion", 9},   {"billions", 9}, {"trillion", 12}, {"trillions", 12},
    {"thousands", 3}, {"hundreds", 2}, {"millionen", 6}, {"millones", 6}};
constexpr std::pair<std::string_view, int> kTouchingMultipliers[] = {
    {"百", 2}, {"千", 3}, {"万", 4}, {"萬", 4}, {"亿", 8}, {"億", 8}, {"만", 4}, {"억", 8}};

bool is_letter_of_words(char32_t c) {
  // Scripts that part words by blanks; the others touch their numbers.
  return c < 0x590 && is_letter_or_number(c) && !(c < 0x80 && is_ascii_digit(static_cast<char>(c)));
}

class NumeralScanner {
 public:
  explicit NumeralScanner(std::string_view text) : text_(text) {}

  std::vector<Numeral> scan() {
    while (at_ < text_.size()) {
      if (begins_here())
        read();
      else
        ++at_;
    }
    return std::move(found_);
  }

 private:
  char at(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  bool digit(std::size_t i) const { return is_ascii_digit(at(i)); }
  std::size_t digits_end(std::size_t i) const {
    while (digit(i)) ++i;
    return i;
  }
  std::size_t skip_blanks(std::size_t i) const {
    while (at(i) == ' ') ++i;
    return i;
  }
  bool starts_at(std::size_t i, std::string_view word) const {
    return i <= text_.size() && text_.substr(i).starts_with(word);
  }

  bool begins_here() const {
    if (digit(at_)) return true;
    if (text_[at_] != '.' || !digit(at_ + 1)) return false;
    return at_ == 0 || (!is_letter_or_number(previous_code_point(text_, at_)) && text_[at_ - 1] != '.' &&
                        text_[at_ - 1] != ')');
  }

  /// Digits with what may join them inside one numeral.
  std::size_t token_end(std::size_t i) const {
    for (;;) {
      i = digits_end(i);
      const char c = at(i);
      const bool parts_thousands = c == '\'' || c == '_';
      const bool three = digit(i + 1) && digit(i + 2) && digit(i + 3) && !digit(i + 4);
      const bool joins = c == '.' || c == ',' || c == ':' || c == '/';
      if (!(joins && digit(i + 1)) && !(parts_thousands && three)) return i;
      ++i;
    }
  }

  void read() {
    const std::size_t begin = at_;
    if (touches_a_word(begin)) {
      at_ = std::max(token_end(begin), begin + 1);
      return;
    }
    if (is_hyphened_date(begin)) return add(begin, at_, NumeralKind::other, std::nullopt);
    const std::size_t end = token_end(begin);
    const std::string_view token = text_.substr(begin, end - begin);
    if (read_list(begin, token)) return;
    at_ = end;
    const bool is_other = std::ranges::count(token, '/') > 1 || token.find(':') != token.npos ||
                          (std::ranges::count(token, '.') > 1 && !has_groups_of_three(token, '.'));
    if (is_other) return add(begin, end, NumeralKind::other, std::nullopt);
    read_number(begin, token);
  }

  bool touches_a_word(std::size_t begin) const {
    if (begin == 0) return false;
    const char before = text_[begin - 1];
    if (before == '_' && begin > 1 && is_ascii_letter(text_[begin - 2])) return true;  // x_1
    if (before == '^') return begin > 1 && !is_ascii_digit(text_[begin - 2]) && text_[begin - 2] != ')';
    if (!is_letter_of_words(previous_code_point(text_, begin))) return false;
    return std::ranges::find(kTouching, word_before(text_, begin)) == kTouching.end();
  }

  bool is_hyphened_date(std::size_t begin) {
    const std::size_t a = digits_end(begin), b = digits_end(a + 1), c = digits_end(b + 1);
    if (at(a) != '-' || at(b) != '-' || at(c) == '-') return false;
    const std::size_t first = a - begin, second = b - a - 1, third = c - b - 1;
    const bool date = second >= 1 && second <= 2 &&
                      ((first == 4 && third >= 1 && third <= 2) || (third == 4 && first >= 1 && first <= 2));
    if (date) at_ = c;
    return date;
  }

  static bool has_groups_of_three(std::string_view token, char separator) {
    std::size_t at = token.find(separator);
    if (at == 0 || at > 3) return false;
    for (; at != token.npos; at = token.find(separator, at + 1)) {
      const std::size_t end = std::min(token.find(separator, at + 1), token.size());
      if (end - at != 4) return false;
    }
    return true;
  }

  /// "1,2,3": each is a numeral of its own.
  bool read_list(std::size_t begin, std::string_view token) {
    if (std::ranges::count(token, ',') < 2) return false;
    for (std::size_t from = 0; from < token.size();) {
      const std::size_t to = std::min(token.find(',', from), token.size());
      const std::string_view member = token.substr(from, to - from);
      if (member.empty() || member.size() > 2 || member.find_first_not_of("0123456789") != member.npos)
        return false;
      from = to + 1;
    }
    for (std::size_t from = 0; from < token.size();) {
      const std::size_t to = std::min(token.find(',', from), token.size());
      const bool first = from == 0;
      at_ = begin + to;
      add_signed(begin + from, begin + to, NumeralKind::number,
                 shortest_decimal(token.substr(from, to - from), first && is_negative(begin)));
      from = to + 1;
    }
    return true;
  }

  /// The digits of "1,234.5", "1'000", "1,00,000"; nullopt where commas part anything else.
  static std::optional<std::string> without_separators(std::string_view token) {
    if (std::ranges::count(token, '.') > 1) return std::nullopt;
    const std::size_t point = std::min(token.find('.'), token.size());
    const std::string_view whole = token.substr(0, point);
    if (token.find_first_of(",'_", point) != token.npos) return std::nullopt;
    const std::size_t first = whole.find_first_of(",'_");
    if (first == whole.npos) return std::string(token);
    const char separator = whole[first];
    if (first == 0 || first > 3) return std::nullopt;
    std::string digits(whole.substr(0, first));
    for (std::size_t at = first; at < whole.size();) {
      if (whole[at] != separator) return std::nullopt;
      const std::size_t end = std::min(whole.find_first_of(",'_", at + 1), whole.size());
      const std::size_t length = end - at - 1;
      const bool last = end == whole.size();
      if (length != 3 && !(separator == ',' && length == 2 && !last)) return std::nullopt;
      digits += whole.substr(at + 1, length);
      at = end;
    }
    return digits.append(token.substr(point));
  }

  void read_number(std::size_t begin, std::string_view token) {
    const bool negative = is_negative(begin);
    if (const std::size_t slash = token.find('/'); slash != token.npos) {
      const auto above = without_separators(token.substr(0, slash));
      const auto below = without_separators(token.substr(slash + 1));
      const auto value = above && below ? shortest_quotient(*above, *below, negative) : std::nullopt;
      return finish(begin, value);
    }
    auto digits = without_separators(token);
    if (!digits) return finish(begin, std::nullopt);
    const bool plain = token.find_first_not_of("0123456789") == token.npos;
    if (plain) {
      if (read_power(begin, *digits, negative)) return;
      join_spaced_groups(*digits);
      if (read_mixed(begin, *digits, negative)) return;
    }
    finish(begin, shortest_decimal(*digits, negative, read_exponent()));
  }

  /// "12 500": more groups of three digits.
  void join_spaced_groups(std::string& digits) {
    if (digits.size() > 3 || digits.front() == '0') return;
    const std::size_t before = at_;
    while (at(at_) == ' ' && digits_end(at_ + 1) == at_ + 4) {
      digits += text_.substr(at_ + 1, 3);
      at_ += 4;
    }
    if (at_ == before) return;
    const char point = at(at_);  // "12 500,50": the blank says what the comma is
    if ((point == '.' || point == ',') && digit(at_ + 1)) {
      const std::size_t end = digits_end(at_ + 1);
      digits.append(".").append(text_.substr(at_ + 1, end - at_ - 1));
      at_ = end;
    }
  }

  /// "1 1/2" and "3 / 4".
  bool read_mixed(std::size_t begin, const std::string& digits, bool negative) {
    const std::size_t a = skip_blanks(at_);
    if (at(a) == '/' && a > at_ && digit(skip_blanks(a + 1))) {
      const std::size_t b = skip_blanks(a + 1), end = digits_end(b);
      if (at(end) == '.' || at(end) == ',' || at(end) == '/') return false;
      at_ = end;
      finish(begin, shortest_quotient(digits, text_.substr(b, end - b), negative));
      return true;
    }
    const std::size_t slash = digits_end(a), end = digits_end(slash + 1);
    if (a != at_ + 1 || slash == a || at(slash) != '/' || end == slash + 1) return false;
    const std::string_view above = text_.substr(a, slash - a),
                           below = text_.substr(slash + 1, end - slash - 1);
    const bool proper = above.size() < below.size() || (above.size() == below.size() && above < below);
    if (!proper || at(end) == '/') return false;
    at_ = end;
    finish(begin, shortest_quotient(above, below, negative, digits));
    return true;
  }

  /// "10^6" by itself; any other power cannot be read.
  bool read_power(std::size_t begin, const std::string& digits, bool negative) {
    const std::size_t sign = power_end(at_);
    if (sign == at_) return false;
    const std::optional<long> exponent = exponent_at(sign);
    if (!exponent) return false;
    finish(begin, digits == "10" ? shortest_decimal("1", negative, *exponent) : std::nullopt);
    return true;
  }

  std::size_t power_end(std::size_t i) const {
    return starts_at(i, "**") && (digit(i + 2) || at(i + 2) == '-' || at(i + 2) == '(') ? i + 2
           : at(i) == '^'                                                               ? i + 1
                                                                                        : i;
  }

  /// Reads "6", "-6", "(6)"; moves at_ behind it.
  std::optional<long> exponent_at(std::size_t i) {
    const bool bracket = at(i) == '(' || at(i) == '{';
    if (bracket) ++i;
    const bool negative = at(i) == '-';
    if (at(i) == '-' || at(i) == '+') ++i;
    const std::size_t end = digits_end(i);
    if (end == i) return std::nullopt;
    at_ = end + (bracket && (at(end) == ')' || at(end) == '}'));
    long value = 1'000'000;
    if (end - i <= 6) {
      value = 0;
      for (const char c : text_.substr(i, end - i)) value = value * 10 + (c - '0');
    }
    return negative ? -value : value;
  }

  /// The power of ten behind a mantissa: "e-07", " x 10^6".
  long read_exponent() {
    if (at(at_) == 'e' || at(at_) == 'E') {
      const std::size_t sign = at(at_ + 1) == '-' || at(at_ + 1) == '+' ? at_ + 2 : at_ + 1;
      if (digit(sign) && !is_ascii_letter(at(digits_end(sign)))) return exponent_at(at_ + 1).value_or(0);
    }
    std::size_t i = skip_blanks(at_);
    const std::size_t sign = starts_at(i, "×")                              ? i + 2
                             : at(i) == 'x' || at(i) == 'X' || at(i) == '*' ? i + 1
                                                                            : i;
    if (sign == i) return 0;
    i = skip_blanks(sign);
    if (!starts_at(i, "10")) return 0;
    const std::size_t exponent = power_end(i + 2);
    if (exponent == i + 2) return 0;
    return exponent_at(exponent).value_or(0);
  }

  /// What stands behind the digits: multipliers, percent, and what makes another number of it.
  void finish(std::size_t begin, std::optional<std::string> value) {
    NumeralKind kind = NumeralKind::number;
    std::size_t after = at_;
    if (at(at_) == '%') {
      after = ++at_;
    } else if (is_ordinal()) {
      kind = NumeralKind::ordinal;
      after = at_ + 2;
    } else {
      after = multiply(begin, value);
    }
    const std::size_t next = skip_blanks(after);
    const bool goes_on = starts_at(next, "π") || starts_at(next, "√") || at(after) == '^';
    if (goes_on || has_root_before(begin)) value = std::nullopt;
    if (at(at_) == '^') {  // "2^n"
      ++at_;
      if (const std::size_t exponent = at_; digit(exponent) || at(exponent) == '-') exponent_at(exponent);
      after = at_;
    }
    if (kind == NumeralKind::number && is_footnote(begin, after)) kind = NumeralKind::footnote;
    at_ = std::max(at_, after);
    add_signed(begin, at_, kind, std::move(value));
  }

  bool is_ordinal() const {
    const std::string suffix = word_from(text_, at_);
    return suffix == "st" || suffix == "nd" || suffix == "rd" || suffix == "th";
  }

  static void shift(std::optional<std::string>& value, int places) {
    if (!value) return;
    if (value->find('/') != std::string::npos) {
      value = std::nullopt;
      return;
    }
    const bool negative = value->starts_with('-');
    value = shortest_decimal(std::string_view(*value).substr(negative ? 1 : 0), negative, places);
  }

  std::size_t multiply(std::size_t begin, std::optional<std::string>& value) const {
    std::size_t after = at_;
    const std::string touching = word_from(text_, after);
    const bool money = before_currency(begin) < begin;
    if (touching == "k" ||
        (money && (touching == "m" || touching == "mn" || touching == "b" || touching == "bn"))) {
      shift(value, touching == "k" ? 3 : touching[0] == 'm' ? 6 : 9);
      return after + touching.size();
    }
    for (int words = 0; words < 3; ++words) {
      const std::size_t i = at(after) == ' ' || at(after) == '-' ? after + 1 : after;
      const std::string word = word_from(text_, i);
      const auto* found = std::ranges::find(kMultipliers, word, &std::pair<std::string_view, int>::first);
      if (found == std::end(kMultipliers)) break;
      shift(value, found->second);
      after = i + word.size();
    }
    for (const auto& [word, places] : kTouchingMultipliers) {
      if (!starts_at(after, word)) continue;
      shift(value, places);
      return after + word.size();
    }
    return after;
  }

  bool has_root_before(std::size_t begin) const {
    const std::string_view before = text_.substr(0, begin);
    return before.ends_with("√") || before.ends_with("√{") || before.ends_with("√(") ||
           before.ends_with("}{") || before.ends_with("±") || before.ends_with("± ") ||
           before.ends_with("+/-") || before.ends_with('^');
  }

  bool is_footnote(std::size_t begin, std::size_t end) const {
    if (begin < 2 || text_[begin - 1] != '[' || at(end) != ']') return false;
    std::size_t before = begin - 1;
    while (before > 0 && text_[before - 1] == ' ') --before;
    if (before == 0) return false;
    const char c = text_[before - 1];
    const std::string word = word_before(text_, before);
    return (is_ascii_letter(c) && word != "is" && word != "answer") || is_ascii_digit(c) || c == '.' ||
           c == ',' || c == ')' || c == ']' || c == '%' || static_cast<unsigned char>(c) >= 0x80;
  }

  /// Where a currency sign in front of text[i] begins, with blanks and the "US" of "US$"; else i.
  std::size_t before_currency(std::size_t i) const {
    std::size_t end = i;
    if (end > 0 && text_[end - 1] == '-') --end;
    if (end > 0 && text_[end - 1] == ' ') --end;
    for (const std::string_view sign : kCurrencies) {
      if (!text_.substr(0, end).ends_with(sign)) continue;
      std::size_t begin = end - sign.size();
      while (begin > 0 && text_[begin - 1] >= 'A' && text_[begin - 1] <= 'Z' && end - begin < 4) --begin;
      return begin;
    }
    return i;
  }

  /// Whether a minus may be a sign behind what stands before it.
  bool free_before(std::size_t minus) const {
    if (minus == 0) return true;
    const char32_t c = previous_code_point(text_, minus);
    return c != ')' && c != '%' && c != '}' && !is_letter_of_words(c) &&
           !(c < 0x80 && is_ascii_digit(static_cast<char>(c)));
  }

  bool is_sign_apart(std::size_t minus) const {
    std::size_t before = minus;
    while (before > 0 && text_[before - 1] == ' ') --before;
    if (before == 0) return text_.find_first_not_of("0123456789.,%$ -\n") == text_.npos;  // nothing but "- 5"
    const char c = text_[before - 1];
    if (c == '=' || c == ':' || c == '(' || c == '{' || c == ',' || c == '*' || c == '|') return true;
    return std::ranges::find(kBeforeSign, word_before(text_, before)) != kBeforeSign.end();
  }

  /// Where the sign of the numeral at `begin` stands; `begin` where it has none.
  std::size_t sign_of(std::size_t begin) const {
    const std::size_t start = before_currency(begin);
    for (const std::size_t end : {begin, start}) {
      if (end > 0 && text_[end - 1] == '-' && free_before(end - 1)) return end - 1;
    }
    std::size_t end = start;
    while (end > 0 && text_[end - 1] == ' ') --end;
    if (end == start || end == 0) return begin;
    if (text_[end - 1] == '-') return is_sign_apart(end - 1) && free_before(end - 1) ? end - 1 : begin;
    const std::string word = word_before(text_, end);
    if (word == "negative" || (word == "minus" && is_sign_apart(end - word.size()))) return end - word.size();
    return begin;
  }

  bool is_negative(std::size_t begin) const { return sign_of(begin) != begin; }

  void add_signed(std::size_t begin, std::size_t end, NumeralKind kind, std::optional<std::string> value) {
    found_.push_back({std::min(sign_of(begin), before_currency(begin)), end, begin, kind, std::move(value)});
  }

  void add(std::size_t begin, std::size_t end, NumeralKind kind, std::optional<std::string> value) {
    found_.push_back({begin, end, begin, kind, std::move(value)});
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Numeral> found_;
};

}  // namespace

std::vector<Numeral> numerals_in(std::string_view plain) {
  return NumeralScanner(plain).scan();
}

}  // namespace rocket
