// Where a generation ends: at the first of some strings in its text, whatever tokens spell them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace rocket {

class StopStrings {
 public:
  /// None of `strings` is empty; `tokenizer` outlives this.
  StopStrings(const Tokenizer& tokenizer, std::vector<std::string> strings)
      : tokenizer_(tokenizer), strings_(std::move(strings)) {}

  bool empty() const { return strings_.empty(); }
  /// Whether the text of `ids`, special tokens written out, holds one of them.
  bool reached(std::span<const TokenId> ids) const;
  /// The text of `ids` without special tokens, up to the first of the strings: one after the other in their
  /// order, as lm-evaluation-harness cuts. A string may stand in special tokens, or begin in one.
  std::string text(std::span<const TokenId> ids) const;

 private:
  /// Bytes of `written` in front of the strings.
  std::size_t end_of(const std::string& written) const;

  const Tokenizer& tokenizer_;
  std::vector<std::string> strings_;
};

}  // namespace rocket
