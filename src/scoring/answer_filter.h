// The part of a text that a pattern finds: before answers are read, as lm-evaluation-harness's `regex`
// filter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "text/pattern.h"

namespace rocket {

/// task.filter and task.gold_filter.
struct FilterRule {
  std::string pattern;
  std::optional<std::int64_t>
      group;          // 0 the whole match; none: the first group that holds text, if there are
  bool last = false;  // of all matches the last one, else the first
};

class AnswerFilter {
 public:
  /// Throws config (78) naming `setting`: a pattern that does not compile, or without this group.
  AnswerFilter(const FilterRule& rule, std::string_view setting);

  /// Without white space at its ends. nullopt: no match, or the group took no part in it. `text` is valid
  /// UTF-8.
  std::optional<std::string> apply(std::string_view text) const;

 private:
  std::optional<Match> part(std::string_view text, const Match& match) const;

  FilterRule rule_;
  Pattern pattern_;
};

}  // namespace rocket
