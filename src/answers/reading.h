// What a reader of answers finds in a generation, and by which rule.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/pattern.h"

namespace rocket {

/// `found`: the answer in canonical form; nullopt where there is none. `rule`: the name of the rule that
/// decided (rules.h).
struct Reading {
  std::optional<std::string> found;
  std::string_view rule;
};

/// Words that mean yes and no beside those of answer_words.h; any case.
struct BooleanWords {
  std::vector<std::string> yes, no;
};

/// One number, as the shortest spelling of its exact value: "1234.5", "-5", "1/3". `text` must be UTF-8 here
/// and below.
Reading read_number(std::string_view text);

/// One letter from A to J.
Reading read_choice(std::string_view text);

/// "yes" or "no".
class BooleanReader {
 public:
  /// Throws config (78) for a word that is empty or means both.
  explicit BooleanReader(const BooleanWords& more = {});
  Reading read(std::string_view text) const;

 private:
  std::vector<std::string> yes_;  // in lower case
  Pattern words_;                 // group 1: a word that stands alone; else one that may touch its neighbours
};

/// A Python program, ready to be followed by its tests. Never nullopt.
Reading read_program(std::string_view text);

}  // namespace rocket
