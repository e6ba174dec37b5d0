// The decoders of tokenizer.json: tokens as the vocabulary spells them, back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace rocket {

class TokenDecoder {
 public:
  virtual ~TokenDecoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

using TokenDecoders = std::vector<std::unique_ptr<TokenDecoder>>;

/// GPT-2's alphabet to bytes to text; what is no UTF-8 becomes U+FFFD. Leaves one string.
class ByteLevelDecoder : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override;
};

/// A space before every token but the first and those that continue a word.
class WordPieceDecoder : public TokenDecoder {
 public:
  /// `cleanup`: no space before punctuation and in English contractions.
  WordPieceDecoder(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens) const override;

 private:
  std::string prefix_;
  bool cleanup_;
};

/// All tokens as one string.
class FuseDecoder : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override;
};

/// Without a decoder the tokens stand with spaces between them.
class SpacedDecoder : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override;
};

}  // namespace rocket
