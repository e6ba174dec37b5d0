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

/// What becomes of the matches that a text is cut at.
enum class Behavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };

/// Cuts at the matches of a regular expression.
class Split : public PreTokenizer {
 public:
  /// `invert`: what lies between the matches plays their part, and the other way round.
  Split(Pattern pattern, Behavior behavior, bool invert);
  void cut(SourceText& text, std::vector<Span>& words) const override;

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

/// Cuts at characters of a kind, each of which is a match of its own.
class SplitAt : public PreTokenizer {
 public:
  SplitAt(bool (*is_match)(char32_t), Behavior behavior) : is_match_(is_match), behavior_(behavior) {}
  void cut(SourceText& text, std::vector<Span>& words) const override;

 private:
  bool (*is_match_)(char32_t);
  Behavior behavior_;
};

/// Runs of word characters, and of what is neither word nor white space.
class WordsAndSymbols : public PreTokenizer {
 public:
  void cut(SourceText& text, std::vector<Span>& words) const override;
};

/// A visible mark in place of every space, and perhaps one more in front of a word.
class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { always, first, never };  // `first`: before the word that begins the whole text
  /// `split`: cuts before every mark.
  Metaspace(std::string mark, Prepend prepend, bool split)
      : mark_(std::move(mark)), prepend_(prepend), split_(split) {}
  void cut(SourceText& text, std::vector<Span>& words) const override;

 private:
  std::string mark_;
  Prepend prepend_;
  bool split_;
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
