#include "text/tokenizer_model.h"

namespace rocket {

namespace {

constexpr std::size_t kCachedWords = 1 << 15;
constexpr std::size_t kLongestCachedWord = 48;

}  // namespace

struct WordCache::Entry {
  std::string word;
  std::vector<Piece> pieces;
};

WordCache::WordCache() : entries_(kCachedWords) {
}

WordCache::~WordCache() = default;

void WordCache::tokenize(std::string_view text, std::span<const Span> words, std::vector<Piece>& pieces,
                         const std::function<void(std::string_view, std::vector<Piece>&)>& tokenize) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  for (const Span span : words) {
    const std::string_view word = text.substr(span.begin, span.end - span.begin);
    const std::size_t first = pieces.size();
    if (!lock || word.size() > kLongestCachedWord) {
      tokenize(word, pieces);
    } else {
      Entry& entry = entries_[std::hash<std::string_view>{}(word) % kCachedWords];
      if (entry.word != word) {
        entry.word.clear();  // should tokenize throw
        entry.pieces.clear();
        tokenize(word, entry.pieces);
        entry.word = word;
      }
      pieces.insert(pieces.end(), entry.pieces.begin(), entry.pieces.end());
    }
    for (std::size_t i = first; i < pieces.size(); ++i) {
      pieces[i].span.begin += span.begin;
      pieces[i].span.end += span.begin;
    }
  }
}

}  // namespace rocket
