#include "scoring/gold_value.h"

#include <algorithm>
#include <set>
#include <string>

#include "answers/answer_text.h"
#include "answers/numeral.h"
#include "base/error.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace rocket {
namespace {

constexpr const char* kMark = R"(####|\\boxed|(?i:(?<![A-Za-z0-9/])answer\b))";
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

std::string gold_number(std::string_view answer) {
  constexpr std::string_view kWay =
      "`number` compares one number, written like -1234.5, 3/4 or 2.5e-07; write it so, or use `exact` or "
      "`regex`";
  const std::string text = plain_text(tail_of(answer));
  const std::vector<Numeral> found = numerals_in(text);
  if (found.empty()) fail_data("answer '{}': there is no number in it", answer);
  if (found.size() > 1) refuse(answer, "more than one number (a list, a range, a sum?)", kWay);
  const Numeral& number = found.front();
  if (number.kind == NumeralKind::other) refuse(answer, "a time, a date or a ratio", kWay);
  if (!number.value)
    refuse(answer, "a decimal comma, a root or a power, which is not read as one number", kWay);
  const std::size_t before = std::string_view(text).substr(0, number.begin).find_last_not_of(" $");
  if (before != text.npos && text[before] == '-') refuse(answer, "its minus would not be read", kWay);
  return *number.value;
}

void check_gold(AnswerKind kind, std::string_view answer) {
  const std::string text = plain_text(answer);
  if (kind == AnswerKind::choice) check_choice(text);
  if (kind == AnswerKind::boolean) check_boolean(text);
  if (kind == AnswerKind::exact && is_white_space_only(text))
    refuse(answer, "it is blank", "every shot and evaluation item needs its answer");
}

}  // namespace rocket
