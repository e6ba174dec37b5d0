// The normalizers of tokenizer.json: they rewrite a text before it is cut into words.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/pattern.h"
#include "text/tokenizer_text.h"

namespace rocket {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual SourceText apply(SourceText text) const = 0;
};

using Normalizers = std::vector<std::unique_ptr<Normalizer>>;

SourceText normalize(const Normalizers& normalizers, SourceText text);

/// Decomposition, or decomposition and composition; with K also of characters that are merely compatible.
class UnicodeForm : public Normalizer {
 public:
  enum class Form { nfc, nfd, nfkc, nfkd };
  explicit UnicodeForm(Form form) : form_(form) {}
  SourceText apply(SourceText text) const override;

 private:
  Form form_;
};

/// Full lower case, one character at a time.
class Lowercase : public Normalizer {
 public:
  SourceText apply(SourceText text) const override;
};

/// Drops combining marks: all of them, or the non-spacing ones only as BERT does.
class StripAccents : public Normalizer {
 public:
  enum class Marks { all, nonspacing };
  explicit StripAccents(Marks marks = Marks::all) : marks_(marks) {}
  SourceText apply(SourceText text) const override;

 private:
  Marks marks_;
};

/// What BertNormalizer calls clean_text: control characters go, white space becomes a space.
class CleanText : public Normalizer {
 public:
  SourceText apply(SourceText text) const override;
};

/// A space on both sides of every Chinese character.
class SpaceChinese : public Normalizer {
 public:
  SourceText apply(SourceText text) const override;
};

/// White space at the ends goes.
class StripSpace : public Normalizer {
 public:
  StripSpace(bool left, bool right) : left_(left), right_(right) {}
  SourceText apply(SourceText text) const override;

 private:
  bool left_, right_;
};

/// Every match of a pattern becomes `content`.
class Replace : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  SourceText apply(SourceText text) const override;

 private:
  Pattern pattern_;
  std::string content_;
};

/// A text in front of one that is not empty.
class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string content) : content_(std::move(content)) {}
  SourceText apply(SourceText text) const override;

 private:
  std::string content_;
};

/// What SentencePiece calls nmt: some control characters go, some invisible ones become a space.
class Nmt : public Normalizer {
 public:
  SourceText apply(SourceText text) const override;
};

/// BertNormalizer as the steps that it stands for. Accents go with the case unless `strip_accents` says.
Normalizers bert_normalizer(bool clean_text, bool chinese, std::optional<bool> strip_accents, bool lowercase);

}  // namespace rocket
