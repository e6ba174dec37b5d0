// SentencePiece's compiled normalisation rules: what most Unigram tokenizers do to a text first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_normalizer.h"

namespace rocket {

/// `precompiled_charsmap`: a double array over UTF-8 keys, and the texts that its values point into.
class PrecompiledCharsmap : public Normalizer {
 public:
  /// Throws data (65) if the lengths do not agree; a rule that points to no text throws when it is asked for.
  explicit PrecompiledCharsmap(std::string_view bytes);
  SourceText apply(SourceText text) const override;

 private:
  std::optional<std::string_view> replacement(std::string_view text) const;
  bool leaves_alone(std::string_view text) const;

  std::vector<std::uint32_t> units_;
  std::string texts_;
  bool keeps_[128] = {};  // ASCII characters that no rule begins with
};

}  // namespace rocket
