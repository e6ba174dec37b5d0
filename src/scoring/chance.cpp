#include "scoring/chance.h"

#include "text/pattern.h"
#include "text/unicode.h"

namespace rocket {

std::int64_t answers_offered(AnswerKind kind, std::string_view question, std::string_view gold) {
  if (kind == AnswerKind::boolean) return 2;
  if (kind != AnswerKind::choice) return 0;
  static const Pattern letter("(?<![A-Za-z0-9])[A-J](?![A-Za-z0-9'])");
  const std::string text = to_utf8_lossy(question);
  char next = 'A';
  letter.for_each(text, [&](Match match) { next += text[match.begin] == next; });
  const std::int64_t offered = next - 'A';
  const bool has_gold = gold.size() == 1 && gold[0] >= 'A' && gold[0] < next;
  return offered >= 2 && has_gold ? offered : 0;
}

std::optional<double> chance_level(std::span<const std::int64_t> offered) {
  double sum = 0;
  for (const std::int64_t n : offered) {
    if (n == 0) return std::nullopt;
    sum += 1.0 / static_cast<double>(n);
  }
  if (offered.empty()) return std::nullopt;
  return sum / static_cast<double>(offered.size());
}

}  // namespace rocket
