#include "model/encoder.h"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "formats/tensors.h"
#include "model/attention.h"
#include "model/batches.h"
#include "model/layers.h"
#include "model/product.h"

namespace rocket {
namespace {

struct AffineWeights {
  at::Tensor weight_OI, bias_O;
  at::Tensor operator()(const at::Tensor& x_TI) const { return product(x_TI, weight_OI) + bias_O; }
};

struct NormWeights {
  at::Tensor weight_D, bias_D;
  double eps = 0;
  at::Tensor operator()(const at::Tensor& x_TD) const {
    return at::layer_norm(x_TD, weight_D.sizes(), weight_D, bias_D, eps);
  }
};

struct EncoderLayer {
  AffineWeights query, key, value, attention_output, intermediate, output;
  NormWeights attention_norm, output_norm;
};

/// Finds the tensors of a BERT under the names that the files of ten years have given them.
class Loader {
 public:
  Loader(const ModelWeights& files, const EncoderConfig& config, const WeightPlace& place)
      : files_(files), config_(config), place_(place) {
    if (files.find("bert.embeddings.word_embeddings.weight") != nullptr) prefix_ = "bert.";
  }

  at::Tensor tensor(const std::string& name, std::vector<std::int64_t> shape) const {
    return load_weight(files_.at(prefix_ + name, shape), place_);
  }
  AffineWeights affine(const std::string& name, std::int64_t outputs, std::int64_t inputs) const {
    return {tensor(name + ".weight", {outputs, inputs}), tensor(name + ".bias", {outputs})};
  }
  NormWeights norm(const std::string& name) const {
    const bool old_names = files_.find(prefix_ + name + ".gamma") != nullptr;
    return {tensor(name + (old_names ? ".gamma" : ".weight"), {config_.hidden}),
            tensor(name + (old_names ? ".beta" : ".bias"), {config_.hidden}), config_.norm_eps};
  }
  EncoderLayer layer(std::int64_t index) const {
    const std::string name = fmt::format("encoder.layer.{}.", index);
    const std::int64_t d = config_.hidden, wide = config_.intermediate;
    return {.query = affine(name + "attention.self.query", d, d),
            .key = affine(name + "attention.self.key", d, d),
            .value = affine(name + "attention.self.value", d, d),
            .attention_output = affine(name + "attention.output.dense", d, d),
            .intermediate = affine(name + "intermediate.dense", wide, d),
            .output = affine(name + "output.dense", d, wide),
            .attention_norm = norm(name + "attention.output.LayerNorm"),
            .output_norm = norm(name + "output.LayerNorm")};
  }

 private:
  const ModelWeights& files_;
  const EncoderConfig& config_;
  WeightPlace place_;
  std::string prefix_;
};

using Sequences = std::span<const std::vector<TokenId>>;

/// Runs of sequences of at most `rows` rows together.
std::vector<Sequences> batches_of(Sequences sequences, std::int64_t rows) {
  std::vector<Sequences> batches;
  for (std::size_t begin = 0, end = 0; begin < sequences.size(); begin = end) {
    std::size_t tokens = sequences[begin].size();
    for (end = begin + 1; end < sequences.size(); ++end) {
      tokens += sequences[end].size();
      if (static_cast<std::int64_t>(tokens) > rows) break;
    }
    batches.push_back(sequences.subspan(begin, end - begin));
  }
  return batches;
}

}  // namespace

struct Encoder::Weights {
  Weights(const std::filesystem::path& folder, Pooling how, const WeightPlace& where)
      : config(read_encoder_config(folder)), files(folder), place(where), pooling(how) {
    const Loader loader(files, config, place);
    words_VD = loader.tensor("embeddings.word_embeddings.weight", {config.vocabulary, config.hidden});
    positions_PD =
        loader.tensor("embeddings.position_embeddings.weight", {config.max_positions, config.hidden});
    const at::Tensor types =
        loader.tensor("embeddings.token_type_embeddings.weight", {config.type_vocabulary, config.hidden});
    type_D = types.select(0, 0);
    norm = loader.norm("embeddings.LayerNorm");
    for (std::int64_t i = 0; i < config.layers; ++i) layers.push_back(loader.layer(i));
  }

  at::Tensor layer_forward(const EncoderLayer& layer, const at::Tensor& x_TD, const PackedRows& rows) const {
    const auto heads = [&](const at::Tensor& x) {
      return x.view({-1, config.heads, config.hidden / config.heads});
    };
    const at::Tensor mixed = attend(rows, heads(layer.query(x_TD)), heads(layer.key(x_TD)),
                                    heads(layer.value(x_TD)), {.causal = false});
    const at::Tensor y_TD = layer.attention_norm(layer.attention_output(mixed) + x_TD);
    const at::Tensor inner = rocket::gelu(layer.intermediate(y_TD), config.activation == "gelu");
    return layer.output_norm(layer.output(inner) + y_TD);
  }

  at::Tensor hidden(const PackedRows& rows) const {
    // transformers adds the type embedding to the words before the positions.
    at::Tensor x_TD =
        norm(words_VD.index_select(0, rows.ids_T) + type_D + positions_PD.index_select(0, rows.positions_T));
    for (const EncoderLayer& layer : layers) x_TD = layer_forward(layer, x_TD, rows);
    return x_TD;
  }

  /// [S, D] float32, unit length.
  at::Tensor pool(const PackedRows& rows, const at::Tensor& hidden_TD) const {
    std::vector<at::Tensor> pooled;
    for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
      const auto begin = rows.starts[s], count = rows.starts[s + 1] - begin;
      pooled.push_back(pooling == Pooling::cls ? hidden_TD.select(0, begin).to(at::kFloat)
                                               : hidden_TD.narrow(0, begin, count).to(at::kFloat).mean(0));
    }
    const at::Tensor x_SD = at::stack(pooled);
    return x_SD / x_SD.square().sum(-1, true).sqrt().clamp_min(1e-12);
  }

  EncoderConfig config;
  ModelWeights files;  // the tensors below may be views of its map
  WeightPlace place;
  Pooling pooling;
  at::Tensor words_VD, positions_PD, type_D;
  NormWeights norm;
  std::vector<EncoderLayer> layers;
};

Encoder Encoder::load(const std::filesystem::path& folder, Pooling pooling, at::ScalarType compute,
                      at::Device device) {
  return in_context("encoder", [&] {
    const c10::NoGradGuard no_grad;
    return Encoder(std::make_unique<Weights>(folder, pooling, WeightPlace{compute, device}));
  });
}

Encoder::Encoder(std::unique_ptr<Weights> weights) : weights_(std::move(weights)) {
}
Encoder::~Encoder() = default;
Encoder::Encoder(Encoder&&) noexcept = default;

const EncoderConfig& Encoder::config() const {
  return weights_->config;
}

std::int64_t Encoder::dimension() const {
  return weights_->config.hidden;
}

at::Tensor Encoder::embed(std::span<const std::vector<TokenId>> sequences, std::int64_t batch_tokens) const {
  const bool threads =
      side_by_side(weights_->config.hidden, weights_->config.intermediate, weights_->place.device);
  const auto batches = batches_of(sequences, rows_of_batch(batch_tokens, threads, weights_->place.device));
  std::vector<at::Tensor> blocks(batches.size());
  for_each_batch(static_cast<std::int64_t>(batches.size()), threads, [&](std::int64_t i) {
    const PackedRows rows = pack(batches[static_cast<std::size_t>(i)], weights_->place.device);
    blocks[static_cast<std::size_t>(i)] = weights_->pool(rows, weights_->hidden(rows)).cpu();
  });
  const c10::InferenceMode inference;
  return blocks.empty() ? at::empty({0, weights_->config.hidden}, at::kFloat) : at::cat(blocks);
}

}  // namespace rocket
