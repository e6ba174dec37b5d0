#include "scoring/answer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "scoring/gold_value.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace rocket {

namespace {

std::string part(std::string_view text, Match match) {
  return std::string(text.substr(match.begin, match.end - match.begin));
}

/// Group 1 of the last match.
std::optional<Match> last_group(const Pattern& pattern, std::string_view text) {
  std::optional<Match> last;
  pattern.for_each(text, [&](Match match) { last = pattern.find(text, match.begin, 1); });
  return last;
}

constexpr char32_t kSigma = 0x3C3, kFinalSigma = 0x3C2;  // one letter: the second ends a word

/// Python's string.punctuation.
bool is_ascii_punctuation(char32_t c) {
  return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z');
}

Pattern users_pattern(const std::string& source) {
  std::optional<Pattern> pattern;
  try {
    pattern.emplace(source);
  } catch (const Error& e) {
    fail_config("task.pattern: {}", e.what());
  }
  if (pattern->groups() != 1)
    fail_config("task.pattern `{}`: expected exactly one group, found {}", source, pattern->groups());
  return std::move(*pattern);
}

}  // namespace

const std::vector<std::string>& answer_kinds() {
  static const std::vector<std::string> names = {"choice", "boolean", "number", "exact", "regex", "code"};
  return names;
}

AnswerKind answer_kind(std::string_view name) {
  const auto found = std::ranges::find(answer_kinds(), name);
  if (found == answer_kinds().end()) fail_internal("no kind of answer is called '{}'", name);
  return static_cast<AnswerKind>(found - answer_kinds().begin());
}

AnswerExtractor::AnswerExtractor(AnswerKind kind, const std::string& pattern, const TextRules& rules)
    : kind_(kind), rules_(rules) {
  if (kind == AnswerKind::regex) pattern_ = users_pattern(pattern);
  if (kind == AnswerKind::boolean) boolean_.emplace(rules.words);
}

Reading AnswerExtractor::read(std::string_view generation) const {
  const std::string text = to_utf8_lossy(generation);
  switch (kind_) {
    case AnswerKind::choice:
      return read_choice(text);
    case AnswerKind::boolean:
      return boolean_->read(text);
    case AnswerKind::number:
      return read_number(text);
    case AnswerKind::exact:
      return {as_text(text), "whole"};
    case AnswerKind::regex:
      return read_pattern(text);
    case AnswerKind::code:
      return read_program(text);
  }
  fail_internal("answer kind {}", static_cast<int>(kind_));
}

Reading AnswerExtractor::read_pattern(std::string_view text) const {
  const auto group = rules_.last ? last_group(*pattern_, text) : pattern_->find(text, 0, 1);
  if (!group) return {std::nullopt, "nothing"};
  return {as_text(part(text, *group)), rules_.last ? "last_match" : "first_match"};
}

bool AnswerExtractor::takes_whole(std::string_view answer) const {
  return kind_ == AnswerKind::regex && !extract(answer);
}

std::string AnswerExtractor::as_text(std::string_view text) const {
  std::string kept;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (rules_.ignore_punctuation && is_ascii_punctuation(c)) continue;
    if (rules_.ignore_case)
      append_lower_case(kept, c == kFinalSigma ? kSigma : c);
    else
      append_utf8(kept, c);
  }
  return fold_white_space(kept);
}

std::string AnswerExtractor::gold(std::string_view answer) const {
  const std::string text = to_utf8_lossy(answer);
  check_gold(kind_, text);
  if (kind_ == AnswerKind::number) return gold_number(text);
  auto value = extract(text);
  if (!value && kind_ == AnswerKind::regex) value = as_text(text);
  if (!value)
    fail_data("answer '{}': there is no {} in it", answer, answer_kinds()[static_cast<std::size_t>(kind_)]);
  if (value->empty() && kind_ != AnswerKind::code)
    fail_data("answer '{}': nothing is left of it to compare{}", answer,
              rules_.ignore_punctuation ? " without punctuation (task.ignore_punctuation)" : "");
  return *value;
}

}  // namespace rocket
