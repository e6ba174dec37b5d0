// Regular expressions: PCRE2 with UTF-8 and JIT, sized so that long texts neither fail nor are cut.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "text/unicode.h"

namespace rocket {

/// Bytes [begin, end) of the text that was searched.
struct Match {
  std::size_t begin = 0, end = 0;
};

/// One compiled pattern. Searching is const and safe from several threads at once.
class Pattern {
 public:
  enum class Classes { ascii, unicode };  // what \d, \w, \s and \b mean

  /// Throws data (65) with PCRE2's words if the pattern does not compile.
  explicit Pattern(const std::string& pattern, Classes classes = Classes::ascii);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  const std::string& source() const { return source_; }
  std::size_t groups() const;

  /// First match that begins at or behind `from`, seeing the text before `from` as well. `group`: the part
  /// that this group matched; nullopt also if the group took no part. `text` must be valid UTF-8.
  /// Throws data (65) if the pattern backtracks beyond all measure.
  std::optional<Match> find(std::string_view text, std::size_t from, std::size_t group = 0) const;

  /// Calls `use(Match)` for all matches from left to right; after an empty one the search goes on behind the
  /// next character.
  template <class Use>
  void for_each(std::string_view text, Use&& use) const;

 private:
  struct Code;
  std::string source_;
  std::unique_ptr<Code> code_;
};

template <class Use>
void Pattern::for_each(std::string_view text, Use&& use) const {
  std::size_t from = 0;
  while (from <= text.size()) {
    const std::optional<Match> match = find(text, from);
    if (!match) return;
    use(*match);
    from = match->end;
    if (match->begin == match->end) {
      ++from;
      while (from < text.size() && is_utf8_continuation(text[from])) ++from;
    }
  }
}

}  // namespace rocket
