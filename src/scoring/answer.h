// The answer in a generation: METHOD section 2 and INTERFACE section 9, "Answers".
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

enum class AnswerKind { choice, boolean, number, exact, regex, code };

/// Extracts and compares answers of one task. `code` extracts the program only; running it is
/// evaluation/sandbox.h.
class AnswerExtractor {
 public:
  /// Throws config (78) for a pattern without exactly one group or one that does not compile.
  AnswerExtractor(AnswerKind kind, const std::string& pattern);
  ~AnswerExtractor();
  AnswerExtractor(AnswerExtractor&&) noexcept;

  AnswerKind kind() const { return kind_; }
  /// In canonical form ("B", "yes", "1234.5", folded text, a program); nullopt where nothing matches.
  std::optional<std::string> extract(std::string_view generation) const;
  /// The gold value in canonical form (a bare letter is a choice). Throws data (65) where nothing matches or
  /// where it would be misread (gold_value.h).
  std::string gold(std::string_view answer) const;

 private:
  struct Patterns;
  AnswerKind kind_;
  std::unique_ptr<Patterns> patterns_;
};

}  // namespace rocket
