#include "scoring/gold_value.h"

#include <algorithm>
#include <set>
#include <string>

#include "base/error.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace rocket {
namespace {

constexpr const char* kMark = R"(####|\\boxed|(?i:\banswer\b))";
constexpr const char* kNumber = R"(-?(?:\d[\d,]*)?\.?\d+)";  // of INTERFACE, "Answers"
constexpr const char* kPlainNumber = R"(^-?(?:\d*|\d{1,3}(?:,\d{2,3})*,\d{3})(?:\.\d+)?$)";
/// A letter that a bracket, a point or a colon closes, with no second letter joined to it.
constexpr const char* kLabel =
    R"(^[^A-Za-z0-9]*(?:(?i:is\b)[^A-Za-z0-9]*)?[A-J][)\].:](?!\s*(?:or|and|,|/|&)\s*\W?[A-J]\b))";
constexpr const char* kLetter = R"((?<![A-Za-z0-9])([A-J])(?![A-Za-z0-9']))";
constexpr const char* kBoolean = R"((?i)\b(?:(yes|true)|no|false)\b)";

/// What a gold value is about: behind the last mark, where there is one.
std::string_view tail_of(std::string_view answer) {
  static const Pattern mark(kMark);
  std::size_t begin = 0;
  mark.for_each(answer, [&](Match match) { begin = match.end; });
  return answer.substr(begin);
}

std::vector<Match> matches_of(const Pattern& pattern, std::string_view text) {
  std::vector<Match> all;
  pattern.for_each(text, [&](Match match) { all.push_back(match); });
  return all;
}

[[noreturn]] void refuse(std::string_view answer, std::string_view what, std::string_view way) {
  fail_data("answer '{}': {}; {}", answer, what, way);
}

bool is_minus(char32_t c) {
  return c == '-' || (c >= 0x2010 && c <= 0x2015) || c == 0x2212 || c == 0xFE63 || c == 0xFF0D;
}

bool is_currency(char32_t c) {
  return c == '$' || (c >= 0xA2 && c <= 0xA5) || (c >= 0x20A0 && c <= 0x20CF);
}

/// Whether a minus stands before the number that its reader does not take as the sign: another character than
/// '-', or one apart from the digits.
bool loses_sign(std::string_view text, Match number) {
  if (text[number.begin] == '-')
    return number.begin > 0 && [&](char32_t before) {
      return before == ')' || is_letter_or_number(before);
    }(previous_code_point(text, number.begin));
  std::size_t at = number.begin;
  while (at > 0) {
    const char32_t c = previous_code_point(text, at);
    if (is_minus(c)) return true;
    if (!is_currency(c) && !is_white_space(c)) return false;
    do --at;
    while (at > 0 && is_utf8_continuation(text[at]));
  }
  return false;
}

void check_number(std::string_view answer) {
  static const Pattern number(kNumber), plain(kPlainNumber);
  constexpr std::string_view kWay =
      "`number` compares one decimal number, written like -1234.5; write it so, or use `exact` or `regex`";
  const std::string_view text = tail_of(answer);
  const std::vector<Match> found = matches_of(number, text);
  if (found.empty()) return;  // the extractor says so
  if (found.size() > 1)
    refuse(answer, "more than one number (a fraction, a power of ten, a time, a list?)", kWay);
  const Match match = found.front();
  const std::string_view written = text.substr(match.begin, match.end - match.begin);
  if (!plain.find(written, 0)) refuse(answer, "commas that do not part thousands", kWay);
  if (loses_sign(text, match)) refuse(answer, "its minus would not be read", kWay);
  std::size_t at = match.end;
  const bool joined = at < text.size() && static_cast<unsigned char>(text[at]) >= 0x80;
  if (joined && is_letter_or_number(next_code_point(text, at)))  // 5² or 5½
    refuse(answer, "a number that goes on in other characters", kWay);
}

void check_choice(std::string_view answer) {
  static const Pattern label(kLabel), letter(kLetter);
  const std::string_view text = tail_of(answer);
  if (label.find(text, 0)) return;
  std::set<char> letters;
  for (const Match& match : matches_of(letter, text)) letters.insert(text[match.begin]);
  if (letters.size() > 1)
    refuse(answer, "more than one letter from A to J", "write the letter alone, or in front: 'B. ...'");
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const std::string_view words = text.substr(begin);
  if (words.starts_with("A ") || words.starts_with("I "))
    refuse(answer, "a word that reads as a letter", "write the letter of the option");
}

void check_boolean(std::string_view answer) {
  static const Pattern word(kBoolean);
  const std::string_view text = tail_of(answer);
  std::set<bool> values;
  for (const Match& match : matches_of(word, text))
    values.insert(word.find(text, match.begin, 1).has_value());
  if (values.size() > 1) refuse(answer, "both yes and no", "write one of them");
}

}  // namespace

void check_gold(AnswerKind kind, std::string_view answer) {
  const std::string text = to_utf8_lossy(answer);
  if (kind == AnswerKind::number) check_number(text);
  if (kind == AnswerKind::choice) check_choice(text);
  if (kind == AnswerKind::boolean) check_boolean(text);
  if (kind == AnswerKind::exact && fold_white_space(text).empty())
    refuse(answer, "it is blank", "every shot and evaluation item needs its answer");
}

}  // namespace rocket
