// Which records of the corpus must not be trained on: those that a shot or an evaluation item also holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/hash.h"
#include "text/record.h"

namespace rocket {

/// Key of decontamination: lower-cased, white space folded and trimmed `instruction + "\n" + input`. That is
/// Python's `" ".join(text.lower().split())`, except that a capital sigma always becomes U+03C3: Python's
/// U+03C2 at the end of a word would make two spellings of one word differ.
std::string decontamination_key(const Record& record);

/// The words that n-grams are made of: runs of letters, marks and numbers, in lower case; whatever stands
/// between them (white space, punctuation, symbols) only parts them.
std::vector<std::string> decontamination_words(std::string_view text);

enum class Overlap {
  none,
  equal,  // the key of a protected record, with or without system text and earlier turns in front
  ngram,  // n words in a row of a protected one
};

/// Remembers the protected records (shots, evaluation items) by hashes of 128 bits.
class Decontamination {
 public:
  /// `ngram`: n, at least 1; none: only equal records are found.
  explicit Decontamination(std::optional<std::int64_t> ngram = {}) : n_(ngram) {}

  void protect(const Record& record);

  /// Protected are the questions, instruction + "\n" + input; their n-grams are looked for in the record's
  /// instruction + "\n" + input + "\n" + output, because an answer may repeat a question. A question of fewer
  /// than n words has no n-gram: it is compared whole, with the words of the record's own question. (As
  /// GPT-3's appendix C does, arXiv 2005.14165, with n fixed instead of chosen by data set.)
  Overlap overlap(const Record& record) const;

 private:
  bool shares_words(const Record& record) const;

  std::optional<std::int64_t> n_;
  std::unordered_set<Hash128, Hash128::Bucket> keys_, ngrams_, short_questions_;
};

}  // namespace rocket
