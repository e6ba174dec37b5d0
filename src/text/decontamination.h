// Which records of the corpus must not be trained on: those that a shot or an evaluation item also holds.
#pragma once

#include <string>
#include <unordered_set>

#include "text/record.h"

namespace rocket {

/// Key of decontamination: lower-cased, white space folded and trimmed `instruction + "\n" + input`. That is
/// Python's `" ".join(text.lower().split())`, except that a capital sigma always becomes U+03C3: Python's
/// U+03C2 at the end of a word would make two spellings of one word differ.
std::string decontamination_key(const Record& record);

/// Remembers the protected records (shots, evaluation items) by hashes.
class Decontamination {
 public:
  void protect(const Record& record);
  /// Whether a protected record has the same key.
  bool removes(const Record& record) const;

 private:
  std::unordered_set<std::string> keys_;
};

}  // namespace rocket
