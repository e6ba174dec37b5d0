// A causal language model over packed ragged rows, of the Llama architecture and the families near it: one
// forward function for scoring, generation and training.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "formats/model_config.h"
#include "formats/tensors.h"
#include "model/linear_delta.h"

namespace rocket {

struct Forward;

class Decoder {
 public:
  /// Maps the weights of a Hugging Face folder; float32 or bfloat16 compute. Frozen: no weight requires a
  /// gradient. Throws data (65) naming the tensor that is absent or misshapen, or file and tensor of a value
  /// that is not finite: all values are read once, on the meta device too.
  static Decoder load(const std::filesystem::path& folder, at::ScalarType compute, at::Device device,
                      LookAhead look_ahead = LookAhead::refused);
  /// A model of this shape that has learned nothing, made on the device: normal weights of deviation 0.02,
  /// norms of 1. For measurements at sizes that no file is at hand for.
  static Decoder fresh(const DecoderConfig& config, at::ScalarType compute, at::Device device);
  ~Decoder();
  Decoder(Decoder&&) noexcept;

  const DecoderConfig& config() const;
  at::ScalarType compute() const;
  at::Device device() const;
  /// Who computes for it.
  const Backend& backend() const;
  /// An empty cache for sequences of so many positions together.
  std::unique_ptr<KvCache> make_cache(std::int64_t positions) const;
  /// See Backend::cache_positions.
  std::int64_t cache_positions() const;
  /// The seven linear layers of each layer: q, k, v, o, gate, up, down; layer by layer.
  const std::vector<Module>& modules() const;

  /// Hidden states after the final norm, [T, D] in the compute type. `delta` and `cache` may be null. With a
  /// cache the rows of sequence s attend to what the cache holds of rows.sequences[s], then join it; it must
  /// be open. With `asked` (ascending) those rows alone are computed to the end, [asked, D].
  at::Tensor hidden(const PackedRows& rows, LinearDelta* delta, KvCache* cache = nullptr,
                    const std::vector<std::int64_t>* asked = nullptr) const;

  /// hidden() of all rows in two parts: what the host does, and what the device does then. Behind it the
  /// cache is to be advanced.
  void arrange(const PackedRows& rows, LinearDelta* delta, KvCache* cache) const;
  at::Tensor hidden_of_arranged(const PackedRows& rows, LinearDelta* delta, KvCache* cache) const {
    return hidden_of_arranged(rows, delta, cache, nullptr);
  }

  /// The same for training, [Q, D] of the rows `asked_Q` (int64, ascending): with gradients, where no text is
  /// remembered. The other rows go as far as `delta` reads them: routers count all rows. With
  /// `recompute_layers` the layers' insides are not kept but computed again in the backward pass, which
  /// `rows` and `delta` must outlive.
  at::Tensor hidden_for_training(const PackedRows& rows, const at::Tensor& asked_Q, LinearDelta* delta,
                                 bool recompute_layers) const;

  /// What the head makes of chosen rows: see Backend.
  at::Tensor logits(const at::Tensor& hidden_TD) const;
  at::Tensor nll(const at::Tensor& hidden_TD, const at::Tensor& targets_T) const;
  at::Tensor best(const at::Tensor& hidden_TD) const;

  /// The tensors as they are stored; null for a model that was not read from files.
  std::shared_ptr<const ModelWeights> files() const;

  /// The base's weight of a module, [O, I], compute type (for exports and merges).
  const at::Tensor& weight(std::int64_t module) const;

 private:
  struct Weights;
  CacheShape cache_shape(std::int64_t positions) const;
  Forward begin(const PackedRows& rows, LinearDelta* delta, KvCache* cache) const;
  at::Tensor hidden_of_arranged(const PackedRows& rows, LinearDelta* delta, KvCache* cache,
                                const std::vector<std::int64_t>* asked) const;
  explicit Decoder(std::unique_ptr<Weights> weights);
  std::unique_ptr<Weights> weights_;
};

}  // namespace rocket
