// Texts to unit vectors: tokenised, cut at the longest length, computed in order of length.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/encoder.h"
#include "text/tokenizer.h"

namespace rocket {

struct EmbedOptions {
  std::string pooling = "auto";    // as read_pooling() takes it
  std::int64_t max_length = 1024;  // tokens, specials included; the encoder's own limit holds too
  at::ScalarType compute = at::kFloat;
};

class TextEmbedder {
 public:
  /// Loads tokenizer and encoder of a folder; throws as they do.
  TextEmbedder(const std::filesystem::path& folder, const EmbedOptions& options, at::Device device);

  std::int64_t dimension() const { return encoder_.config().dimension(); }

  /// The ids of a text with its specials, truncated as Hugging Face does: specials stay, the text loses its
  /// end. Safe from several threads at once, also beside embed().
  std::vector<TokenId> tokens(std::string_view text) const;

  /// [texts, dimension()] in the order given; computed in order of length, so that neighbours in a batch have
  /// nearly equal lengths. The result is a function of the texts given together; in float32 on the CPU each
  /// vector is a function of its own text alone.
  std::vector<float> embed(std::vector<std::vector<TokenId>> texts) const;

 private:
  std::unique_ptr<Tokenizer> tokenizer_;
  Encoder encoder_;
  std::int64_t max_length_;
};

}  // namespace rocket
