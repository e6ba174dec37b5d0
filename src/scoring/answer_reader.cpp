#include "scoring/answer_reader.h"

#include "scoring/chance.h"
#include "text/unicode.h"

namespace rocket {

std::int64_t AnswerReader::offered(std::string_view question, std::string_view gold) const {
  return answers_offered(extractor_->kind(), question, gold);
}

std::optional<std::string> AnswerReader::extract(std::string_view generation) const {
  std::string text = to_utf8_lossy(generation);
  if (rules_.filter) {
    auto found = rules_.filter->apply(text);
    if (!found) return std::nullopt;
    text = *std::move(found);
  }
  return extractor_->extract(without_ignored(std::move(text)));
}

std::string AnswerReader::gold(std::string_view answer) const {
  return extractor_->gold(without_ignored(filtered_gold(answer)));
}

bool AnswerReader::takes_whole(std::string_view answer) const {
  if (rules_.gold_filter && !rules_.gold_filter->apply(to_utf8_lossy(answer))) return true;
  return extractor_->takes_whole(without_ignored(filtered_gold(answer)));
}

std::string AnswerReader::filtered_gold(std::string_view answer) const {
  std::string text = to_utf8_lossy(answer);
  return rules_.gold_filter ? rules_.gold_filter->apply(text).value_or(text) : text;
}

std::string AnswerReader::without_ignored(std::string text) const {
  for (const Pattern& pattern : rules_.ignored) {
    std::string kept;
    std::size_t at = 0;
    pattern.for_each(text, [&](Match match) {
      kept += text.substr(at, match.begin - at);
      at = match.end;
    });
    text = kept + text.substr(at);
  }
  return text;
}

}  // namespace rocket
