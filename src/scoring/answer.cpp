#include "scoring/answer.h"

#include <array>
#include <utility>

#include "base/error.h"
#include "scoring/gold_value.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace rocket {

namespace {

// The published patterns have `*` where these have `*+`. What follows can never begin with a character of the
// class, so the matches are the same; but a long run of dashes or dots behind the word takes linear time.
constexpr const char* kChoiceAfterAnswer =
    R"((?i:\banswer\b)[^A-Za-z0-9\n]*+(?:(?i:is\b)[^A-Za-z0-9\n]*+)?([A-J])(?![A-Za-z0-9']))";
constexpr const char* kChoice = R"((?<![A-Za-z0-9])([A-J])(?![A-Za-z0-9']))";
constexpr const char* kBooleanAfterAnswer =
    R"((?i)\banswer\b[^A-Za-z0-9\n]*+(?:is\b[^A-Za-z0-9\n]*+)?(yes|no|true|false)\b)";
constexpr const char* kBoolean = R"((?i)\b(yes|no|true|false)\b)";
constexpr const char* kNumber = R"(-?(?:\d[\d,]*)?\.?\d+)";

using Answer = std::optional<std::string>;

std::string part(std::string_view text, Match match) {
  return std::string(text.substr(match.begin, match.end - match.begin));
}

/// Group 1 of the last match.
std::optional<Match> last_group(const Pattern& pattern, std::string_view text) {
  std::optional<Match> last;
  pattern.for_each(text, [&](Match match) { last = pattern.find(text, match.begin, 1); });
  return last;
}

/// Group 1 of the last match of `preferred`, else of the first of `otherwise`.
Answer last_else_first(const Pattern& preferred, const Pattern& otherwise, std::string_view text) {
  std::optional<Match> last = last_group(preferred, text);
  if (!last) last = otherwise.find(text, 0, 1);
  if (!last) return std::nullopt;
  return part(text, *last);
}

Answer boolean_of(const Answer& word) {
  if (!word) return std::nullopt;
  const char first = word->front();
  return first == 'y' || first == 'Y' || first == 't' || first == 'T' ? "yes" : "no";
}

bool is_sign(std::string_view text, std::size_t minus) {
  if (minus == 0) return true;
  const char32_t before = previous_code_point(text, minus);
  return before != ')' && !is_letter_or_number(before);
}

/// The shortest spelling of the same decimal number.
std::string canonical_number(std::string_view digits, bool negative) {
  std::string whole, fraction;
  bool behind_point = false;
  for (const char c : digits) {
    if (c == '.')
      behind_point = true;
    else if (behind_point)
      fraction += c;
    else if (c != ',' && !(c == '0' && whole.empty()))
      whole += c;
  }
  while (fraction.ends_with('0')) fraction.pop_back();
  if (whole.empty() && fraction.empty()) return "0";
  return fmt::format("{}{}{}{}", negative ? "-" : "", whole.empty() ? "0" : whole,
                     fraction.empty() ? "" : ".", fraction);
}

Answer last_number(const Pattern& pattern, std::string_view text) {
  std::optional<Match> last;
  pattern.for_each(text, [&](Match match) { last = match; });
  if (!last) return std::nullopt;
  std::string_view number = text.substr(last->begin, last->end - last->begin);
  const bool minus = number.front() == '-';
  if (minus) number.remove_prefix(1);
  return canonical_number(number, minus && is_sign(text, last->begin));
}

/// Number of backticks from `at` on.
std::size_t backticks(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of('`', at), text.size()) - at;
}

/// The next run of at least `least` backticks; npos if there is none.
std::size_t find_fence(std::string_view text, std::size_t from, std::size_t least) {
  for (std::size_t at = text.find('`', from); at != std::string_view::npos; at = text.find('`', at)) {
    const std::size_t n = backticks(text, at);
    if (n >= least) return at;
    at += n;
  }
  return std::string_view::npos;
}

/// Where the program begins behind an opening fence: the name of a language belongs to the fence.
std::size_t skip_language(std::string_view text, std::size_t at) {
  const std::size_t end = text.find('\n', at);
  if (end == std::string_view::npos) return at;
  for (const char c : text.substr(at, end - at)) {
    const bool name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '+' || c == '#' || c == '.' || c == '-' || c == ' ' || c == '\t' ||
                      c == '\r';
    if (!name) return at;
  }
  return end + 1;
}

/// The last block between fences. One that the end of the text cuts off counts only if no other is there.
std::optional<std::string_view> last_fenced_block(std::string_view text) {
  std::optional<std::string_view> block;
  for (std::size_t at = find_fence(text, 0, 3); at != std::string_view::npos; at = find_fence(text, at, 3)) {
    const std::size_t fence = backticks(text, at);
    const std::size_t begin = skip_language(text, at + fence);
    const std::size_t end = find_fence(text, begin, fence);
    if (end == std::string_view::npos) return block ? *block : text.substr(begin);
    block = text.substr(begin, end - begin);
    at = end + backticks(text, end);
  }
  return block;
}

/// Without the blanks before the first word, which to Python would be an indentation, and those at the end.
std::string_view trim(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

std::string program_of(std::string_view text) {
  if (const auto block = last_fenced_block(text)) return std::string(*block);
  constexpr std::string_view kAnswer = "Answer:";
  const std::size_t answer = text.rfind(kAnswer);
  return std::string(trim(answer == std::string_view::npos ? text : text.substr(answer + kAnswer.size())));
}

constexpr char32_t kSigma = 0x3C3, kFinalSigma = 0x3C2;  // one letter: the second ends a word

/// Python's string.punctuation.
bool is_ascii_punctuation(char32_t c) {
  return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z');
}

const char* name_of(AnswerKind kind) {
  static constexpr std::array kNames = {"choice", "boolean", "number", "exact", "regex", "code"};
  return kNames[static_cast<std::size_t>(kind)];
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

struct AnswerExtractor::Patterns {
  std::vector<Pattern> list;
};

AnswerExtractor::AnswerExtractor(AnswerKind kind, const std::string& pattern, const TextRules& rules)
    : kind_(kind), rules_(rules), patterns_(std::make_unique<Patterns>()) {
  const auto use = [&](const char* source) { patterns_->list.emplace_back(source); };
  if (kind == AnswerKind::choice) {
    use(kChoiceAfterAnswer);
    use(kChoice);
  } else if (kind == AnswerKind::boolean) {
    use(kBooleanAfterAnswer);
    use(kBoolean);
  } else if (kind == AnswerKind::number) {
    use(kNumber);
  } else if (kind == AnswerKind::regex) {
    patterns_->list.push_back(users_pattern(pattern));
  }
}

AnswerExtractor::~AnswerExtractor() = default;
AnswerExtractor::AnswerExtractor(AnswerExtractor&&) noexcept = default;

std::optional<std::string> AnswerExtractor::extract(std::string_view generation) const {
  const std::string text = to_utf8_lossy(generation);
  const std::vector<Pattern>& patterns = patterns_->list;
  switch (kind_) {
    case AnswerKind::choice:
      return last_else_first(patterns[0], patterns[1], text);
    case AnswerKind::boolean:
      return boolean_of(last_else_first(patterns[0], patterns[1], text));
    case AnswerKind::number:
      return last_number(patterns[0], text);
    case AnswerKind::exact:
      return as_text(text);
    case AnswerKind::regex: {
      const auto group = rules_.last ? last_group(patterns[0], text) : patterns[0].find(text, 0, 1);
      if (!group) return std::nullopt;
      return as_text(part(text, *group));
    }
    case AnswerKind::code:
      return program_of(text);
  }
  fail_internal("answer kind {}", static_cast<int>(kind_));
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
  check_gold(kind_, answer);
  auto value = extract(answer);
  if (!value && kind_ == AnswerKind::regex) value = as_text(to_utf8_lossy(answer));
  if (!value) fail_data("answer '{}': there is no {} in it", answer, name_of(kind_));
  if (value->empty() && kind_ != AnswerKind::code)
    fail_data("answer '{}': nothing is left of it to compare{}", answer,
              rules_.ignore_punctuation ? " without punctuation (task.ignore_punctuation)" : "");
  return *value;
}

}  // namespace rocket
