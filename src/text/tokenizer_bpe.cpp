#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <queue>

#include "base/error.h"
#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace rocket {

namespace {

constexpr std::size_t kLongestWord = std::size_t{1} << 30;
constexpr std::uint64_t kNoPair = ~std::uint64_t{0};

/// GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and up, in order.
std::array<char32_t, 256> byte_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    alphabet[static_cast<std::size_t>(byte)] = printable ? static_cast<char32_t>(byte) : next++;
  }
  return alphabet;
}

/// The inverse; -1 for characters that stand for no byte.
const std::array<int, 0x144>& alphabet_bytes() {
  static const std::array<int, 0x144> bytes = [] {
    std::array<int, 0x144> table;
    table.fill(-1);
    const auto alphabet = byte_alphabet();
    for (int byte = 0; byte < 256; ++byte) table[alphabet[static_cast<std::size_t>(byte)]] = byte;
    return table;
  }();
  return bytes;
}

/// Where behind `from` the next space mark stands that has no other right before it, or npos.
std::size_t next_space_mark(std::string_view text, std::size_t from) {
  for (std::size_t at = from;; at += kSpaceMark.size()) {
    at = text.find(kSpaceMark, at);
    if (at == std::string_view::npos) return at;
    if (at > from && !text.substr(0, at).ends_with(kSpaceMark)) return at;
  }
}

std::uint64_t pair_of(TokenId left, TokenId right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

}  // namespace

std::optional<std::string> bytes_of_token(std::string_view token) {
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const char32_t c = next_code_point(token, at);
    const int byte = c < alphabet_bytes().size() ? alphabet_bytes()[c] : -1;
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::optional<TokenId> find_token(const TokenMap& vocabulary, std::string_view token) {
  const auto found = vocabulary.find(token);
  if (found == vocabulary.end()) return std::nullopt;
  return found->second;
}

std::string byte_token(unsigned char byte) {
  return fmt::format("<0x{:02X}>", byte);
}

MergeTable::MergeTable(std::size_t expected) {
  const std::size_t size = std::bit_ceil(2 * expected + 2);
  slots_.assign(size, Slot{kNoPair, {}});
  shift_ = 64 - std::countr_zero(size);
}

std::size_t MergeTable::slot_of(std::uint64_t pair) const {
  std::size_t slot = (pair * 0x9E3779B97F4A7C15ULL) >> shift_;
  while (slots_[slot].pair != pair && slots_[slot].pair != kNoPair) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void MergeTable::set(TokenId left, TokenId right, Merge merge) {
  const std::uint64_t pair = pair_of(left, right);
  slots_[slot_of(pair)] = {pair, merge};
}

const MergeTable::Merge* MergeTable::find(TokenId left, TokenId right) const {
  const std::uint64_t pair = pair_of(left, right);
  const Slot& slot = slots_[slot_of(pair)];
  return slot.pair == pair ? &slot.merge : nullptr;
}

/// Merges the symbols of one word; keeps its buffers from word to word.
class Bpe::Merger {
 public:
  explicit Merger(const MergeTable& merges) : merges_(merges) {}

  void begin() { symbols_.clear(); }
  void add(TokenId id, std::size_t begin, std::size_t end) {
    const auto at = static_cast<std::int32_t>(symbols_.size());
    symbols_.push_back(
        {id, at - 1, at + 1, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
  }

  void finish(std::vector<Piece>& pieces) {
    if (symbols_.empty()) return;
    symbols_.back().next = -1;
    for (std::int32_t at = 0; symbols_[at].next >= 0; ++at) offer(at);
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      merge(best);
    }
    for (std::int32_t at = 0; at >= 0; at = symbols_[at].next)
      pieces.push_back({symbols_[at].id, {symbols_[at].begin, symbols_[at].end}});
  }

 private:
  struct Symbol {
    TokenId id;  // -1: merged into the one before
    std::int32_t previous, next;
    std::uint32_t begin, end;
  };
  struct Candidate {
    std::int32_t rank, at;
    TokenId id;
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };

  void offer(std::int32_t at) {
    const Symbol& left = symbols_[at];
    if (const auto* merge = merges_.find(left.id, symbols_[left.next].id))
      queue_.push({merge->rank, at, merge->id});
  }

  void merge(const Candidate& best) {
    Symbol& left = symbols_[best.at];
    if (left.id < 0 || left.next < 0) return;
    // Stale if the neighbours are others by now, unless they make the same token.
    const auto* current = merges_.find(left.id, symbols_[left.next].id);
    if (!current || current->id != best.id) return;
    Symbol& right = symbols_[left.next];
    left.id = best.id;
    left.end = right.end;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) {
      symbols_[left.next].previous = best.at;
      offer(best.at);
    }
    if (left.previous >= 0) offer(left.previous);
  }

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> queue_;
};

Bpe::Bpe(const TokenMap& vocabulary, const BpeOptions& options)
    : byte_level_(options.byte_level), fuse_unk_(options.fuse_unk), merges_(options.merges.size()) {
  std::ranges::fill(byte_ids_, -1);
  if (byte_level_ || options.byte_fallback) read_bytes(vocabulary);
  if (!byte_level_) read_characters(vocabulary);
  if (options.unk_token) {
    unk_ = find_token(vocabulary, *options.unk_token);
    const bool complete = byte_level_ && std::ranges::count(byte_ids_, -1) == 0;
    if (!unk_ && !complete)
      fail_data("model.unk_token: the vocabulary lacks '{}', and some bytes or characters need it",
                *options.unk_token);
  }
  if (options.ignore_merges) read_words(vocabulary);
  read_merges(vocabulary, options);
}

void Bpe::read_bytes(const TokenMap& vocabulary) {
  const auto alphabet = byte_alphabet();
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::string letter;
    append_utf8(letter, alphabet[byte]);
    const std::string token = byte_level_ ? letter : byte_token(static_cast<unsigned char>(byte));
    byte_ids_[byte] = find_token(vocabulary, token).value_or(-1);
  }
}

void Bpe::read_characters(const TokenMap& vocabulary) {
  for (const auto& [token, id] : vocabulary)
    if (!token.empty() && utf8_length(token, 0) == token.size()) {
      std::size_t at = 0;
      character_ids_[next_code_point(token, at)] = id;
    }
}

void Bpe::read_words(const TokenMap& vocabulary) {
  if (!byte_level_) {
    words_ = vocabulary;
    return;
  }
  for (const auto& [token, id] : vocabulary)
    if (const auto bytes = bytes_of_token(token)) words_[*bytes] = id;
}

void Bpe::read_merges(const TokenMap& vocabulary, const BpeOptions& options) {
  const auto id_of = [&](const std::string& token, std::size_t line) {
    const auto id = find_token(vocabulary, token);
    if (!id) fail_data("model.merges[{}]: token '{}' is not in the vocabulary", line, token);
    return *id;
  };
  cut_at_spaces_ = !byte_level_ && words_.empty() && find_token(vocabulary, kSpaceMark);
  for (std::size_t rank = 0; rank < options.merges.size(); ++rank) {
    const auto& [left, right] = options.merges[rank];
    const TokenId left_id = id_of(left, rank), right_id = id_of(right, rank);
    merges_.set(left_id, right_id, {static_cast<std::int32_t>(rank), id_of(left + right, rank)});
    if (cut_at_spaces_) cut_at_spaces_ = next_space_mark(left + right, 0) == std::string::npos;
  }
}

void Bpe::tokenize(std::string_view text, std::span<const Span> words, std::vector<Piece>& pieces) const {
  Merger merger(merges_);
  const auto tokenize = [&](std::string_view word, std::vector<Piece>& found) {
    tokenize_word(word, merger, found);
  };
  if (!cut_at_spaces_) return cache_.tokenize(text, words, pieces, tokenize);
  std::vector<Span> parts;
  for (const Span word : words)
    for (std::size_t begin = word.begin; begin < word.end;) {
      const std::size_t end = std::min(next_space_mark(text.substr(0, word.end), begin), word.end);
      parts.push_back({begin, end});
      begin = end;
    }
  cache_.tokenize(text, parts, pieces, tokenize);
}

void Bpe::tokenize_word(std::string_view word, Merger& merger, std::vector<Piece>& pieces) const {
  if (word.size() > kLongestWord)
    fail_data("a word of {} bytes: the longest that rocket takes is 1 GiB", word.size());
  const auto whole = words_.find(word);
  if (whole != words_.end()) return pieces.push_back({whole->second, {0, word.size()}});
  merger.begin();
  std::optional<Span> unknown;
  const auto add_unknown = [&] {
    if (unknown) merger.add(*unk_, unknown->begin, unknown->end);
    unknown.reset();
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t begin = at;
    const TokenId id = next_symbol(word, at);
    // The library puts these before unknown characters that it has not added yet.
    if (id < 0 && add_fallback(word, {begin, at}, merger)) continue;
    if (id >= 0 || !fuse_unk_) add_unknown();
    if (id >= 0)
      merger.add(id, begin, at);
    else if (unk_)
      unknown = Span{unknown ? unknown->begin : begin, at};
  }
  add_unknown();
  merger.finish(pieces);
}

TokenId Bpe::next_symbol(std::string_view word, std::size_t& at) const {
  if (byte_level_) return byte_ids_[static_cast<unsigned char>(word[at++])];
  const auto found = character_ids_.find(next_code_point(word, at));
  return found == character_ids_.end() ? -1 : found->second;
}

bool Bpe::add_fallback(std::string_view word, Span character, Merger& merger) const {
  if (byte_level_) return false;
  const auto id = [&](std::size_t at) { return byte_ids_[static_cast<unsigned char>(word[at])]; };
  for (std::size_t at = character.begin; at < character.end; ++at)
    if (id(at) < 0) return false;
  for (std::size_t at = character.begin; at < character.end; ++at) merger.add(id(at), at, at + 1);
  return true;
}

}  // namespace rocket
