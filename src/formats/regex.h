// Regular expressions out of files of other programs: PCRE2 with UTF-8, and a bound on the work of a match.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

class Regex {
 public:
  /// `place` says where the expression stands, for messages. Throws data (65) if it is none.
  Regex(const std::string& expression, std::string place);

  /// The groups of a match that begins at the first byte of `text` (0 = the whole match; unset groups are
  /// empty), or nothing. Python's `re.match`. Throws data (65) if the search takes too long.
  std::vector<std::string_view> match(std::string_view text) const;
  bool matches(std::string_view text) const { return !match(text).empty(); }

 private:
  std::shared_ptr<void> code_;  // shared, so that values which hold an expression can be copied
  std::string expression_, place_;
};

}  // namespace rocket
