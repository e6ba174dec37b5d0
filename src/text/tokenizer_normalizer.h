// The normalizers of tokenizer.json: they rewrite a text before it is cut into words.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "text/tokenizer_text.h"

namespace rocket {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual SourceText apply(SourceText text) const = 0;
};

using Normalizers = std::vector<std::unique_ptr<Normalizer>>;

SourceText normalize(const Normalizers& normalizers, SourceText text);

/// Canonical decomposition, or decomposition and composition.
class UnicodeForm : public Normalizer {
 public:
  enum class Form { nfc, nfd };
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

/// BertNormalizer as the steps that it stands for. Accents go with the case unless `strip_accents` says.
Normalizers bert_normalizer(bool clean_text, bool chinese, std::optional<bool> strip_accents, bool lowercase);

}  // namespace rocket
