// A sentence encoder over packed ragged rows: BERT and the families near it, one forward function.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "formats/model_config.h"
#include "text/tokenizer.h"

namespace rocket {

class Encoder {
 public:
  /// Loads a folder of Hugging Face or sentence-transformers form; float32 or bfloat16 compute. Throws data
  /// (65) naming the tensor that is absent or misshapen. `truncate_dim`: only so many of the first components
  /// of a vector count (Matryoshka); throws config (78) if there are not as many.
  static Encoder load(const std::filesystem::path& folder, Pooling pooling, at::ScalarType compute,
                      at::Device device, std::optional<std::int64_t> truncate_dim = {});
  ~Encoder();
  Encoder(Encoder&&) noexcept;

  const EncoderConfig& config() const;
  /// Of the vectors that it returns.
  std::int64_t dimension() const;

  /// Unit vectors, [S, dimension()] float32 on the CPU. Sequences have their specials and are no
  /// longer than config().max_tokens; they are computed in the order given, packed, at most `batch_tokens`
  /// rows a forward. Throws data (65) for an id that the model has no row for.
  at::Tensor embed(std::span<const std::vector<TokenId>> sequences, std::int64_t batch_tokens) const;

 private:
  struct Weights;
  explicit Encoder(std::unique_ptr<Weights> weights);
  std::unique_ptr<Weights> weights_;
};

}  // namespace rocket
