// The answer in a generation: METHOD section 2 and INTERFACE section 9, "Answers".
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

enum class AnswerKind { choice, boolean, number, exact, regex, code };

/// How `exact` and `regex` read and compare text: the settings task.take, ignore_case, ignore_punctuation.
struct TextRules {
  bool last = false;                // regex: the last match, not the first
  bool ignore_case = false;         // lower case; the two small sigmas are one
  bool ignore_punctuation = false;  // without Python's string.punctuation, as in lm-evaluation-harness
};

/// Extracts and compares answers of one task. `code` extracts the program only; running it is
/// evaluation/sandbox.h.
class AnswerExtractor {
 public:
  /// Throws config (78) for a pattern without exactly one group or one that does not compile.
  AnswerExtractor(AnswerKind kind, const std::string& pattern, const TextRules& rules = {});
  ~AnswerExtractor();
  AnswerExtractor(AnswerExtractor&&) noexcept;

  AnswerKind kind() const { return kind_; }
  /// In canonical form ("B", "yes", "1234.5", folded text, a program); nullopt where nothing matches.
  std::optional<std::string> extract(std::string_view generation) const;
  /// The gold value in canonical form (a bare letter is a choice). For `regex` a value in which nothing
  /// matches is the answer itself. Throws data (65) where else nothing matches or where it would be misread
  /// (gold_value.h).
  std::string gold(std::string_view answer) const;
  /// Whether gold() takes the value as it is because the pattern of `regex` matches nothing in it.
  bool takes_whole(std::string_view answer) const;

 private:
  std::string as_text(std::string_view text) const;

  struct Patterns;
  AnswerKind kind_;
  TextRules rules_;
  std::unique_ptr<Patterns> patterns_;
};

}  // namespace rocket
