// The pre-tokenizers of tokenizer.json: they cut a normalised text into words, each of which the model then
// tokenises on its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/pattern.h"
#include "text/tokenizer_text.h"

namespace rocket {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Cuts each of `words` (spans of `text`, left to right, none empty) into smaller ones. May rewrite `text`.
  virtual void cut(SourceText& text, std::vector<Span>& words) const = 0;
};

using PreTokenizers = std::vector<std::unique_ptr<PreTokenizer>>;

/// The words of a whole text. May rewrite `text`.
std::vector<Span> cut_into_words(const PreTokenizers& pre_tokenizers, SourceText& text);

/// Cuts at the matches of a regular expression.
class Split : public PreTokenizer {
 public:
  enum class Behavior { isolated, removed };  // matches become words; matches go
  /// `invert`: what lies between the matches plays their part, and the other way round.
  Split(Pattern pattern, Behavior behavior, bool invert);
  void cut(SourceText& text, std::vector<Span>& words) const override;

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

/// A space in front of every word that does not begin with one.
class PrefixSpace : public PreTokenizer {
 public:
  void cut(SourceText& text, std::vector<Span>& words) const override;
};

/// White space goes, every punctuation character stands alone.
class BertWords : public PreTokenizer {
 public:
  void cut(SourceText& text, std::vector<Span>& words) const override;
};

/// The pattern that ByteLevel stands for when its `use_regex` is set: GPT-2's.
extern const char* const kGpt2Pattern;

/// A pattern in the dialect of the `tokenizers` library (Oniguruma, Ruby syntax), with Unicode 16 classes.
/// Throws data (65) naming the part that PCRE2 would read differently.
Pattern oniguruma_pattern(const std::string& pattern);

/// A pattern that matches this text and nothing else.
Pattern literal_pattern(const std::string& text);

}  // namespace rocket
