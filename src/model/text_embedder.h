// Texts to unit vectors: tokenised, fitted to the encoder's length, computed in order of length.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/encoder.h"
#include "text/tokenizer.h"

namespace rocket {

/// What the encoder reads of a text of more than `room` tokens, where `room` is its length less the specials.
enum class LongTexts {
  cut,        // the first `room` tokens, as Hugging Face truncates
  head_tail,  // the first half of `room` (rounded up) and the last half
  windows,    // all: windows of `room` tokens one after the other, the last one shorter
};

struct EmbedOptions {
  std::string pooling = "auto";    // as read_pooling() takes it
  std::int64_t max_length = 1024;  // tokens, specials included; the encoder's own limit holds too
  LongTexts long_texts = LongTexts::cut;
  at::ScalarType compute = at::kFloat;
  std::optional<std::int64_t> truncate_dim;  // Encoder::load
  bool cores_are_free = false;               // while the encoder computes: all of them tokenise
};

/// A text as the encoder reads it.
struct EncoderTokens {
  std::vector<std::vector<TokenId>>
      windows;           // with specials; several only of a long text, by LongTexts::windows
  bool is_long = false;  // more tokens than the encoder reads at once
};

/// The tokenizer of an encoder's folder, without its weights.
class EncoderTokenizer {
 public:
  /// Throws as load_tokenizer() and read_encoder_config() do.
  EncoderTokenizer(const std::filesystem::path& folder, std::int64_t max_length, LongTexts long_texts);

  /// Specials stay, whatever the text loses. Safe from several threads at once.
  EncoderTokens tokens(std::string_view text) const;

  /// The most tokens of one window, specials included.
  std::int64_t length() const { return length_; }
  LongTexts long_texts() const { return long_texts_; }

 private:
  EncoderTokenizer(const std::filesystem::path& folder, const EncoderConfig& encoder, std::int64_t max_length,
                   LongTexts long_texts);

  std::unique_ptr<Tokenizer> tokenizer_;
  std::int64_t length_;
  LongTexts long_texts_;
};

class TextEmbedder {
 public:
  /// Loads tokenizer and encoder of a folder; throws as they do.
  TextEmbedder(const std::filesystem::path& folder, const EmbedOptions& options, at::Device device);

  std::int64_t dimension() const { return encoder_.dimension(); }

  const EncoderTokenizer& tokenizer() const { return tokenizer_; }
  /// Of each text. Safe beside embed().
  std::vector<EncoderTokens> tokens(std::span<const std::string> texts) const;

  /// [texts, dimension()] in the order given. The vector of a text of several windows is the mean of their
  /// unit vectors, each with the same weight, normalised. Computed in order of length, so that neighbours in
  /// a batch have nearly equal lengths. The result is a function of the texts given together; in float32 on
  /// the CPU each vector is a function of its own text alone.
  std::vector<float> embed(std::vector<EncoderTokens> texts) const;

 private:
  EncoderTokenizer tokenizer_;
  Encoder encoder_;
  bool cores_are_free_;
};

}  // namespace rocket
