// The models of tokenizer.json: words to tokens.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/prefix_tree.h"
#include "text/tokenizer.h"
#include "text/tokenizer_text.h"

namespace rocket {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

using TokenMap = std::unordered_map<std::string, TokenId, StringHash, std::equal_to<>>;

/// U+2581 stands for a space in vocabularies of SentencePiece.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

std::optional<TokenId> find_token(const TokenMap& vocabulary, std::string_view token);

/// A token and the bytes of the text (or, inside a word, of the word) that it stands for.
struct Piece {
  TokenId id = 0;
  Span span;
};

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  /// Appends the tokens of all words of `text`.
  virtual void tokenize(std::string_view text, std::span<const Span> words,
                        std::vector<Piece>& pieces) const = 0;
};

/// (left, right) -> rank and merged id, as a flat table: it is asked for every pair of neighbours.
class MergeTable {
 public:
  struct Merge {
    std::int32_t rank = -1;
    TokenId id = -1;
  };
  explicit MergeTable(std::size_t expected);
  /// A pair that is there already gets the new value.
  void set(TokenId left, TokenId right, Merge merge);
  /// nullptr if the pair does not merge.
  const Merge* find(TokenId left, TokenId right) const;

 private:
  struct Slot {
    std::uint64_t pair;
    Merge merge;
  };
  std::size_t slot_of(std::uint64_t pair) const;
  std::vector<Slot> slots_;
  int shift_;
};

/// Tokens of words seen before; a word that falls on the place of another replaces it. Used by one thread at
/// a time; others go without.
class WordCache {
 public:
  WordCache();
  ~WordCache();
  /// Appends the tokens of all words of `text`. `tokenize(word, pieces)` appends those of a word that is new,
  /// with spans inside the word.
  void tokenize(std::string_view text, std::span<const Span> words, std::vector<Piece>& pieces,
                const std::function<void(std::string_view, std::vector<Piece>&)>& tokenize);

 private:
  struct Entry;
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

struct BpeOptions {
  std::vector<std::pair<std::string, std::string>> merges;  // best first, in the spelling of the vocabulary
  std::optional<std::string> unk_token;  // for symbols that the vocabulary lacks; none: dropped
  bool fuse_unk = false;                 // neighbouring unknown symbols become one token
  bool ignore_merges = false;            // a word that is a token is taken whole
  bool byte_level = false;               // symbols are bytes, spelt in GPT-2's alphabet; otherwise characters
  bool byte_fallback = false;            // a character that the vocabulary lacks becomes tokens like <0xE2>
};

/// Byte-pair encoding over bytes or characters. Time is O(n log n) in the length of a word.
class Bpe : public TokenModel {
 public:
  /// Throws data (65) for a merge of unknown tokens.
  Bpe(const TokenMap& vocabulary, const BpeOptions& options);
  void tokenize(std::string_view text, std::span<const Span> words,
                std::vector<Piece>& pieces) const override;

 private:
  class Merger;
  void read_bytes(const TokenMap& vocabulary);
  void read_characters(const TokenMap& vocabulary);
  void read_words(const TokenMap& vocabulary);
  void read_merges(const TokenMap& vocabulary, const BpeOptions& options);
  void tokenize_word(std::string_view word, Merger& merger, std::vector<Piece>& pieces) const;
  TokenId next_symbol(std::string_view word, std::size_t& at) const;
  bool add_fallback(std::string_view word, Span character, Merger& merger) const;

  bool byte_level_, fuse_unk_;
  std::optional<TokenId> unk_;
  TokenId byte_ids_[256];  // of bytes, or of the tokens like <0xE2>; -1: there is none
  std::unordered_map<char32_t, TokenId> character_ids_;
  TokenMap words_;  // text of a token -> id; filled for ignore_merges only
  MergeTable merges_;
  bool cut_at_spaces_ = false;  // no merge crosses the place before a U+2581
  mutable WordCache cache_;
};

/// A token of a Unigram vocabulary, with the logarithm of its probability.
struct ScoredToken {
  std::string text;
  double score = 0;
};

struct UnigramOptions {
  TokenId unk_id = 0;
  bool byte_fallback = false;  // what is unknown becomes tokens like <0xE2>
};

/// Unigram language model: the tokens of a word are those with the largest sum of scores. Time is linear in
/// the length of a word.
class Unigram : public TokenModel {
 public:
  /// Ids are places in `tokens`; `unk_id` is one.
  Unigram(const std::vector<ScoredToken>& tokens, const UnigramOptions& options);
  void tokenize(std::string_view text, std::span<const Span> words,
                std::vector<Piece>& pieces) const override;

 private:
  struct Node {
    double score = 0;  // of the best way to here
    std::size_t begin = 0;
    TokenId id = -1;  // -1: not reached
  };
  std::optional<TokenId> id_of(std::string_view text) const;
  void find_ways(std::string_view word, std::vector<Node>& nodes) const;
  void follow_best(std::string_view word, const std::vector<Node>& nodes, std::vector<Piece>& pieces) const;
  void add_unknown(std::string_view word, Span span, std::vector<Piece>& pieces) const;

  PrefixTree tree_;
  std::vector<double> scores_;
  double unk_score_ = 0;
  TokenId unk_;
  std::array<TokenId, 256> byte_ids_;  // of tokens like <0xE2>; -1: there is none
  mutable WordCache cache_;
};

struct WordPieceOptions {
  std::string unk_token = "[UNK]";
  std::string prefix = "##";        // of a token that continues a word
  std::int64_t longest_word = 100;  // characters; a longer word is unknown
};

/// Longest match first, left to right; a word with a part that matches nothing is unknown as a whole.
class WordPiece : public TokenModel {
 public:
  /// Throws data (65) if the vocabulary lacks the unknown token.
  WordPiece(const TokenMap& vocabulary, const WordPieceOptions& options);
  void tokenize(std::string_view text, std::span<const Span> words,
                std::vector<Piece>& pieces) const override;

 private:
  bool tokenize_word(std::string_view text, Span word, std::vector<Piece>& pieces) const;

  TokenMap first_, further_;  // tokens that begin a word; those that continue one, less the prefix
  std::size_t longest_token_ = 0;
  TokenId unk_;
  std::int64_t longest_word_;
};

/// How vocabularies with byte fallback write a byte: <0xE2>.
std::string byte_token(unsigned char byte);

/// The bytes that a token of a byte-level vocabulary spells; nullopt if a character is not of the alphabet.
std::optional<std::string> bytes_of_token(std::string_view token);

}  // namespace rocket
