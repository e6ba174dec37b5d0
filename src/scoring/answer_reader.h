// How the answer of a system to an item of a task is found: in a generation, or as the likeliest choice.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scoring/answer.h"
#include "scoring/answer_filter.h"

namespace rocket {

/// What happens to a text before an answer is read in it.
struct ReadingRules {
  std::optional<AnswerFilter> filter = {}, gold_filter = {};  // of generations, of golds
  std::vector<Pattern> ignored = {};                          // all that they match is removed from both
};

class AnswerReader {
 public:
  /// Of a task whose choices are ranked by likelihood: it reads nothing.
  AnswerReader() = default;
  explicit AnswerReader(AnswerExtractor extractor, ReadingRules rules = {})
      : extractor_(std::move(extractor)), rules_(std::move(rules)) {}

  bool ranks_choices() const { return !extractor_; }
  bool runs_programs() const { return extractor_ && extractor_->kind() == AnswerKind::code; }
  /// Of a task that runs programs: Python packages that they may import.
  const std::vector<std::string>& packages() const { return extractor_->packages(); }
  /// How many answers a question offers (chance.h).
  std::int64_t offered(std::string_view question, std::string_view gold) const;

  /// As AnswerExtractor, behind the rules. Not of a task that ranks choices.
  std::optional<std::string> extract(std::string_view generation) const;
  /// A gold value in which the pattern of its filter matches nothing is read whole.
  std::string gold(std::string_view answer) const;
  bool takes_whole(std::string_view answer) const;

 private:
  std::string without_ignored(std::string text) const;
  std::string filtered_gold(std::string_view answer) const;

  std::optional<AnswerExtractor> extractor_;
  ReadingRules rules_;
};

}  // namespace rocket
