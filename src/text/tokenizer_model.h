// The models of tokenizer.json: words to tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_text.h"

namespace rocket {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

using TokenMap = std::unordered_map<std::string, TokenId, StringHash, std::equal_to<>>;

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

struct ByteLevelBpeOptions {
  std::vector<std::pair<std::string, std::string>> merges;  // best first, in the spelling of the vocabulary
  std::optional<std::string> unk_token;  // for bytes that the vocabulary lacks; none: dropped
  bool fuse_unk = false;                 // neighbouring unknown bytes become one token
  bool ignore_merges = false;            // a word that is a token is taken whole
};

/// Byte-pair encoding over bytes. Time is O(n log n) in the length of a word. Short words are remembered.
class ByteLevelBpe : public TokenModel {
 public:
  /// `vocabulary` spells bytes in GPT-2's alphabet. Throws data (65) for a merge of unknown tokens.
  ByteLevelBpe(const TokenMap& vocabulary, const ByteLevelBpeOptions& options);
  ~ByteLevelBpe() override;
  void tokenize(std::string_view text, std::span<const Span> words,
                std::vector<Piece>& pieces) const override;

 private:
  struct Cache;
  class Merger;
  void read_words(const TokenMap& vocabulary);
  void read_merges(const TokenMap& vocabulary, const ByteLevelBpeOptions& options);
  void tokenize_word(std::string_view word, Merger& merger, std::vector<Piece>& pieces) const;

  TokenId byte_ids_[256];
  std::optional<TokenId> unk_;
  bool fuse_unk_;
  TokenMap words_;  // bytes of a token -> id; filled for ignore_merges only
  MergeTable merges_;
  mutable std::mutex mutex_;
  std::unique_ptr<Cache> cache_;  // one thread at a time; others go without
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

/// The bytes that a token of a byte-level vocabulary spells; nullopt if a character is not of the alphabet.
std::optional<std::string> bytes_of_token(std::string_view token);

}  // namespace rocket
