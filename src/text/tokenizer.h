// Text to token ids and back, as the `tokenizers` library does it with the same files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

using TokenId = std::int32_t;

/// A token and the bytes [begin, end) of the text that it stands for. Exact, also within a character, save
/// where normalisation joined or reordered characters: then all bytes that took part.
struct Token {
  TokenId id = 0;
  std::int64_t begin = 0, end = 0;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Without the post-processor's specials. Special tokens written in the text are parsed.
  virtual std::vector<Token> encode(std::string_view text) const = 0;
  /// What the post-processor puts in front and behind (may be empty).
  virtual const std::vector<TokenId>& leading_specials() const = 0;
  virtual const std::vector<TokenId>& trailing_specials() const = 0;
  /// `tokenizer(text)["input_ids"]`: leading + encode + trailing.
  std::vector<TokenId> ids_with_specials(std::string_view text) const;

  /// As tokenizers' decode with the decoder of the file: invalid UTF-8 becomes U+FFFD, unknown ids go.
  virtual std::string decode(std::span<const TokenId> ids, bool skip_specials) const = 0;

  /// One more than the largest id, added tokens included: what a model's embedding must reach.
  virtual std::int64_t vocabulary() const = 0;
  virtual std::optional<TokenId> id_of(std::string_view token) const = 0;

  /// eos_token and bos_token of tokenizer_config.json or special_tokens_map.json, if they name them.
  virtual std::optional<TokenId> eos() const = 0;
  virtual std::optional<TokenId> bos() const = 0;
};

/// Reads tokenizer.json, tokenizer_config.json and special_tokens_map.json of a model folder as transformers
/// 5 does: add_bos_token and add_eos_token count only without tokenizer.json. There the class decides (GPT2,
/// Qwen2: vocab.json + merges.txt; Bert: vocab.txt; Llama: tokenizer.model; XLMRoberta:
/// sentencepiece.bpe.model, as transformers 5 reads them). Throws data (65) naming the file and the part
/// that rocket does not know. encode and decode are safe from several threads at once.
/// Bert's normalizer is that of tokenizer_config.json, whatever tokenizer.json says. With `lower_case` texts
/// are lower-cased before anything else, as sentence-transformers does where do_lower_case is set.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder, bool lower_case = false);

}  // namespace rocket
