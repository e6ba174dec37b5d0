#include <algorithm>

#include "base/error.h"
#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace rocket {

WordPiece::WordPiece(const TokenMap& vocabulary, const WordPieceOptions& options)
    : first_(vocabulary), longest_word_(options.longest_word) {
  for (const auto& [token, id] : vocabulary) {
    longest_token_ = std::max(longest_token_, token.size());
    if (token.starts_with(options.prefix)) further_[token.substr(options.prefix.size())] = id;
  }
  const auto unk = vocabulary.find(options.unk_token);
  if (unk == vocabulary.end())
    fail_data("model: the vocabulary lacks the unknown token '{}'", options.unk_token);
  unk_ = unk->second;
}

void WordPiece::tokenize(std::string_view text, std::span<const Span> words,
                         std::vector<Piece>& pieces) const {
  for (const Span word : words) {
    const std::size_t before = pieces.size();
    if (tokenize_word(text, word, pieces)) continue;
    pieces.resize(before);
    pieces.push_back({unk_, word});
  }
}

bool WordPiece::tokenize_word(std::string_view text, Span word, std::vector<Piece>& pieces) const {
  const auto continues = [&](std::size_t at) { return is_utf8_continuation(text[at]); };
  std::int64_t characters = 0;
  for (std::size_t at = word.begin; at < word.end && characters <= longest_word_; ++at)
    characters += !continues(at);
  if (characters > longest_word_) return false;
  for (std::size_t begin = word.begin; begin < word.end;) {
    const TokenMap& tokens = begin == word.begin ? first_ : further_;
    std::size_t end = std::min(word.end, begin + longest_token_);
    while (end > begin && end < word.end && continues(end)) --end;
    auto found = tokens.end();
    while (end > begin && (found = tokens.find(text.substr(begin, end - begin))) == tokens.end()) {
      do --end;
      while (end > begin && continues(end));
    }
    if (end == begin) return false;
    pieces.push_back({found->second, {begin, end}});
    begin = end;
  }
  return true;
}

}  // namespace rocket
