// The decoders of tokenizer.json: tokens as the vocabulary spells them, back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/pattern.h"

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

/// Spaces for the marks that Metaspace put in their place; none for those of the first token.
class MetaspaceDecoder : public TokenDecoder {
 public:
  /// `prepended`: a mark may stand in front of the whole text.
  MetaspaceDecoder(std::string mark, bool prepended) : mark_(std::move(mark)), prepended_(prepended) {}
  void apply(std::vector<std::string>& tokens) const override;

 private:
  std::string mark_;
  bool prepended_;
};

/// Neighbouring tokens like <0xE2> become the text that their bytes spell, or U+FFFD each.
class ByteFallbackDecoder : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override;
};

/// Up to `start` and `stop` times this character goes from the ends of every token.
class StripDecoder : public TokenDecoder {
 public:
  StripDecoder(std::string character, std::size_t start, std::size_t stop)
      : character_(std::move(character)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override;

 private:
  std::string character_;
  std::size_t start_, stop_;
};

class ReplaceDecoder : public TokenDecoder {
 public:
  ReplaceDecoder(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override;

 private:
  Pattern pattern_;
  std::string content_;
};

/// A space for the suffix that ends a word; none for that of the last token.
class BpeDecoder : public TokenDecoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(std::vector<std::string>& tokens) const override;

 private:
  std::string suffix_;
};

/// Without a decoder the tokens stand with spaces between them.
class SpacedDecoder : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override;
};

}  // namespace rocket
