#include "text/decontamination.h"

#include <utf8proc.h>

#include <span>

#include "text/unicode.h"

namespace rocket {

std::string decontamination_key(const Record& record) {
  const std::string text = to_utf8_lossy(record.instruction + "\n" + record.input);
  std::string key;
  bool gap = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (is_python_space(c)) {
      gap = true;
      continue;
    }
    if (gap && !key.empty()) key += ' ';
    gap = false;
    append_lower_case(key, c);
  }
  return key;
}

namespace {

std::string question_of(const Record& record) {
  return record.instruction + "\n" + record.input;
}

/// Whether `is` holds of the question of a record: with all that stands before it, without the system text,
/// or alone.
template <class F>
bool any_question(const Record& record, F&& is) {
  if (is(record)) return true;
  for (const std::size_t bytes : {record.system_bytes, record.context_bytes}) {
    if (bytes == 0) continue;
    Record bare;
    bare.instruction = record.instruction.substr(bytes);
    bare.input = record.input;
    if (is(bare)) return true;
  }
  return false;
}

bool is_in_word(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

Hash128 hash_of(std::string_view text) {
  return hash128(std::as_bytes(std::span(text.data(), text.size())));
}

/// Calls `use` with the hash of every run of n words, until it returns true; returns whether it did.
template <class F>
bool any_ngram(const std::vector<std::string>& words, std::size_t n, F&& use) {
  std::vector<Hash128> hashes;  // a word is hashed once, not n times
  for (const std::string& word : words) hashes.push_back(hash_of(word));
  for (std::size_t first = 0; first + n <= hashes.size(); ++first)
    if (use(hash128(std::as_bytes(std::span(hashes).subspan(first, n))))) return true;
  return false;
}

}  // namespace

std::vector<std::string> decontamination_words(std::string_view bytes) {
  const std::string text = to_utf8_lossy(bytes);
  std::vector<std::string> words;
  bool open = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool inside = is_in_word(c);
    if (inside && !open) words.emplace_back();
    if (inside) append_lower_case(words.back(), c);
    open = inside;
  }
  return words;
}

void Decontamination::protect(const Record& record) {
  keys_.insert(hash_of(decontamination_key(record)));
  if (!n_) return;
  const auto words = decontamination_words(question_of(record));
  const auto n = static_cast<std::size_t>(*n_);
  if (words.size() < n && !words.empty())
    any_ngram(words, words.size(), [&](const Hash128& hash) { return short_questions_.insert(hash), true; });
  any_ngram(words, n, [&](const Hash128& hash) { return ngrams_.insert(hash), false; });
}

Overlap Decontamination::overlap(const Record& record) const {
  const auto is_protected = [&](const Record& r) { return keys_.contains(hash_of(decontamination_key(r))); };
  if (any_question(record, is_protected)) return Overlap::equal;
  return n_ && shares_words(record) ? Overlap::ngram : Overlap::none;
}

bool Decontamination::shares_words(const Record& record) const {
  const auto is_short_one = [&](const Record& r) {
    const auto words = decontamination_words(question_of(r));
    return !words.empty() && static_cast<std::int64_t>(words.size()) < *n_ &&
           any_ngram(words, words.size(),
                     [&](const Hash128& hash) { return short_questions_.contains(hash); });
  };
  if (any_question(record, is_short_one)) return true;
  const auto words = decontamination_words(question_of(record) + "\n" + record.output);
  return any_ngram(words, static_cast<std::size_t>(*n_),
                   [&](const Hash128& hash) { return ngrams_.contains(hash); });
}

}  // namespace rocket
