#include "scoring/answer_filter.h"

#include "base/error.h"
#include "text/unicode.h"

namespace rocket {
namespace {

Pattern compiled(const std::string& pattern, std::string_view setting) {
  try {
    return Pattern(pattern, Pattern::Classes::unicode);
  } catch (const Error& e) {
    fail_config("{}: {}", setting, e.what());
  }
}

}  // namespace

AnswerFilter::AnswerFilter(const FilterRule& rule, std::string_view setting)
    : rule_(rule), pattern_(compiled(rule.pattern, setting)) {
  if (rule.group && *rule.group > static_cast<std::int64_t>(pattern_.groups()))
    fail_config("{}: group {}: the pattern `{}` has {} groups", setting, *rule.group, rule.pattern,
                pattern_.groups());
}

std::optional<std::string> AnswerFilter::apply(std::string_view text) const {
  std::optional<Match> match = pattern_.find(text, 0);
  if (rule_.last) pattern_.for_each(text, [&](Match found) { match = found; });
  if (match) match = part(text, *match);
  if (!match) return std::nullopt;
  return std::string(strip_white_space(text.substr(match->begin, match->end - match->begin)));
}

std::optional<Match> AnswerFilter::part(std::string_view text, const Match& match) const {
  if (rule_.group) return pattern_.find(text, match.begin, static_cast<std::size_t>(*rule_.group));
  if (pattern_.groups() == 0) return match;
  for (std::size_t group = 1; group <= pattern_.groups(); ++group) {
    const auto found = pattern_.find(text, match.begin, group);
    if (found && found->end > found->begin) return found;
  }
  return std::nullopt;
}

}  // namespace rocket
