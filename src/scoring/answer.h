// The answer in a generation, and whether it is the gold value. How each kind is read: configs/answers.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "answers/reading.h"

namespace rocket {

enum class AnswerKind { choice, boolean, number, exact, regex, code };

/// How text is read and compared: the settings task.take, ignore_case, ignore_punctuation, yes_words,
/// no_words, packages.
struct TextRules {
  bool last = false;                       // regex: the last match, not the first
  bool ignore_case = false;                // lower case; the two small sigmas are one
  bool ignore_punctuation = false;         // without Python's string.punctuation, as in lm-evaluation-harness
  BooleanWords words = {};                 // boolean: more words for yes and no
  std::vector<std::string> packages = {};  // code: Python packages that programs may import
};

/// Extracts and compares answers of one task. `code` extracts the program only; running it is
/// evaluation/sandbox.h.
class AnswerExtractor {
 public:
  /// Throws config (78) for a pattern without exactly one group or one that does not compile, and for words
  /// that mean both yes and no.
  AnswerExtractor(AnswerKind kind, const std::string& pattern, const TextRules& rules = {});

  AnswerKind kind() const { return kind_; }
  const std::vector<std::string>& packages() const { return rules_.packages; }
  /// In canonical form ("B", "yes", "1234.5", folded text, a program), and the rule that decided.
  Reading read(std::string_view generation) const;
  /// What read() finds; nullopt: nothing.
  std::optional<std::string> extract(std::string_view generation) const { return read(generation).found; }
  /// The gold value in canonical form (a bare letter is a choice). For `regex` a value in which nothing
  /// matches is the answer itself. Throws data (65) where else nothing matches or where it would be misread
  /// (gold_value.h).
  std::string gold(std::string_view answer) const;
  /// Whether gold() takes the value as it is because the pattern of `regex` matches nothing in it.
  bool takes_whole(std::string_view answer) const;

 private:
  std::string as_text(std::string_view text) const;

  Reading read_pattern(std::string_view text) const;

  AnswerKind kind_;
  TextRules rules_;
  std::optional<Pattern> pattern_;        // regex
  std::optional<BooleanReader> boolean_;  // boolean
};

/// Of a setting or a flag; fails with internal (70) for any other name.
AnswerKind answer_kind(std::string_view name);
/// The names of all kinds, in the order of AnswerKind.
const std::vector<std::string>& answer_kinds();

}  // namespace rocket
