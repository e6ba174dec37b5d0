#include "model/encoder.h"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <string>
#include <utility>

#include "backend/backend.h"
#include "backend/upload.h"
#include "base/error.h"
#include "base/work_mark.h"
#include "formats/encoder_weights.h"
#include "model/batches.h"
#include "model/weights.h"

namespace rocket {
namespace {

struct EncoderLayer {
  AffineWeights query, key, value, attention_output, intermediate, output;
  NormWeights attention_norm, output_norm;
};

struct DenseLayer {
  AffineWeights linear;
  bool tanh = false;
};

at::Tensor read_weight(const EncoderWeights& files, const WeightPlace& place, const std::string& name,
                       const std::vector<std::int64_t>& shape) {
  const StoredTensor& stored = files.at(name, shape);
  return in_context(files.path_of(name).string(), [&] { return load_weight(stored, place); });
}

AffineWeights affine_weights(const EncoderWeights& files, const WeightPlace& place, const std::string& name,
                             std::int64_t outputs, std::int64_t inputs) {
  return backend_for(place.device, place.dtype)
      .prepare_affine(read_weight(files, place, name + ".weight", {outputs, inputs}),
                      read_weight(files, place, name + ".bias", {outputs}));
}

/// Finds the tensors of a BERT under the names that the files of ten years have given them.
class Loader {
 public:
  Loader(const EncoderWeights& files, const EncoderConfig& config, const WeightPlace& place)
      : files_(files), config_(config), place_(place) {
    for (const char* prefix : {"bert.", "roberta."})
      if (files.find(prefix + std::string("embeddings.word_embeddings.weight"))) prefix_ = prefix;
  }

  EmbeddingWeights embedding() const {
    const std::string name = "embeddings.";
    return {
        .words_VD = tensor(name + "word_embeddings.weight", {config_.vocabulary, config_.hidden}),
        .positions_PD = tensor(name + "position_embeddings.weight", {config_.max_positions, config_.hidden}),
        .type_D = tensor(name + "token_type_embeddings.weight", {config_.type_vocabulary, config_.hidden})
                      .select(0, 0),
        .norm = norm(name + "LayerNorm")};
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
  at::Tensor tensor(const std::string& name, std::vector<std::int64_t> shape) const {
    return read_weight(files_, place_, prefix_ + name, shape);
  }
  AffineWeights affine(const std::string& name, std::int64_t outputs, std::int64_t inputs) const {
    return affine_weights(files_, place_, prefix_ + name, outputs, inputs);
  }
  NormWeights norm(const std::string& name) const {
    const bool old_names = files_.find(prefix_ + name + ".gamma") != nullptr;
    return {tensor(name + (old_names ? ".gamma" : ".weight"), {config_.hidden}),
            tensor(name + (old_names ? ".beta" : ".bias"), {config_.hidden}), config_.norm_eps};
  }

  const EncoderWeights& files_;
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

/// Dense modules compute in float32: what they read is pooled already.
std::vector<DenseLayer> load_dense(const EncoderConfig& config, at::Device device) {
  std::vector<DenseLayer> layers;
  for (const DenseConfig& dense : config.dense) {
    const EncoderWeights files(dense.folder);
    const WeightPlace place{at::kFloat, device};
    // Copies: the files are closed with this scope.
    const auto read = [&](const char* name, const std::vector<std::int64_t>& shape) {
      return read_weight(files, place, name, shape).clone();
    };
    layers.push_back({backend_for(device, place.dtype)
                          .prepare_affine(read("linear.weight", {dense.outputs, dense.inputs}),
                                          dense.bias ? read("linear.bias", {dense.outputs}) : at::Tensor()),
                      dense.tanh});
  }
  return layers;
}

/// Throws unless the model has a row for each id.
void check_ids(Sequences sequences, const EncoderConfig& config) {
  for (const std::vector<TokenId>& ids : sequences) {
    if (static_cast<std::int64_t>(ids.size()) > config.max_tokens)
      fail_internal("a text of {} tokens for an encoder of {}", ids.size(), config.max_tokens);
    for (const TokenId id : ids) {
      if (id < 0 || id >= config.vocabulary)
        fail_data(
            "token id {} lies outside the encoder's vocabulary of {}: tokenizer and model do not belong "
            "together",
            id, config.vocabulary);
    }
  }
}

/// Rows with the positions of the family: behind the padding id, which stands for itself and is not counted.
PackedRows packed_rows(Sequences sequences, const EncoderConfig& config, at::Device device) {
  PackedRows rows = pack(sequences, device);
  if (config.padding_id < 0) return rows;
  std::vector<std::int64_t> positions;
  for (const std::vector<TokenId>& ids : sequences) {
    std::int64_t last = config.padding_id;
    for (const TokenId id : ids) positions.push_back(id == config.padding_id ? config.padding_id : ++last);
  }
  rows.positions_T = upload(positions, device);
  return rows;
}

}  // namespace

struct Encoder::Weights {
  Weights(const std::filesystem::path& folder, Pooling how, const WeightPlace& where,
          std::optional<std::int64_t> truncate_dim)
      : config(read_encoder_config(folder)),
        files(folder),
        place(where),
        backend(backend_for(where.device, where.dtype)),
        pooling(how),
        dense(load_dense(config, where.device)) {
    dimension = truncate_dim.value_or(config.dimension());
    if (dimension > config.dimension())
      fail_config("encoder.truncate_dim: {}, but the vectors of {} have {} components", dimension,
                  folder.string(), config.dimension());
    const Loader loader(files, config, place);
    embedding = loader.embedding();
    for (std::int64_t i = 0; i < config.layers; ++i) layers.push_back(loader.layer(i));
  }

  /// `first_rows`: the first row of each sequence alone, [S, D].
  at::Tensor layer_forward(const EncoderLayer& layer, const at::Tensor& x_TD, const AttentionRows& rows,
                           bool first_rows) const {
    const auto heads = [&](const at::Tensor& x) {
      return x.view({-1, config.heads, config.hidden / config.heads});
    };
    at::Tensor mixed =
        backend.attend(rows, heads(backend.affine(layer.query, x_TD)), heads(backend.affine(layer.key, x_TD)),
                       heads(backend.affine(layer.value, x_TD)), {.causal = false});
    at::Tensor residual = x_TD;
    if (first_rows) {
      const at::Tensor index =
          at::tensor(at::IntArrayRef(rows.packed().starts).slice(0, rows.packed().sequences.size()),
                     at::kLong)
              .to(place.device);
      mixed = mixed.index_select(0, index);
      residual = residual.index_select(0, index);
    }
    const at::Tensor y_TD =
        backend.affine_norm(layer.attention_output, mixed, residual, layer.attention_norm);
    const at::Tensor inner = backend.affine_gelu(layer.intermediate, y_TD, config.activation == "gelu");
    return backend.affine_norm(layer.output, inner, y_TD, layer.output_norm);
  }

  /// Pooled hidden states, [S, D] float32.
  at::Tensor pooled(const PackedRows& rows) const {
    at::Tensor x_TD = backend.embedded(embedding, rows.ids_T, rows.positions_T);
    const bool cls = pooling == Pooling::cls;
    const AttentionRows attention_rows(rows);
    for (const EncoderLayer& layer : layers) {
      const MarkedWork mark(&layer - layers.data());
      x_TD = layer_forward(layer, x_TD, attention_rows, cls && &layer == &layers.back());
    }
    if (cls) return x_TD.to(at::kFloat);
    return backend.mean_rows(x_TD, rows);
  }

  /// [S, dimension] float32, unit length.
  at::Tensor forward(const PackedRows& rows) const {
    const MarkedWork mark("embed");
    at::Tensor x_SD = pooled(rows);
    const Backend& in_float = backend_for(place.device, at::kFloat);
    for (const DenseLayer& layer : dense) {
      x_SD = in_float.affine(layer.linear, x_SD);
      if (layer.tanh) x_SD = at::tanh(x_SD);
    }
    x_SD = x_SD.narrow(-1, 0, dimension);
    return x_SD / x_SD.square().sum(-1, true).sqrt().clamp_min(1e-12);
  }

  EncoderConfig config;
  EncoderWeights files;  // the tensors below may be views of its map
  WeightPlace place;
  const Backend& backend;
  Pooling pooling;
  std::int64_t dimension = 0;
  EmbeddingWeights embedding;
  std::vector<EncoderLayer> layers;
  std::vector<DenseLayer> dense;
};

Encoder Encoder::load(const std::filesystem::path& folder, Pooling pooling, at::ScalarType compute,
                      at::Device device, std::optional<std::int64_t> truncate_dim) {
  return in_context("encoder", [&] {
    const c10::NoGradGuard no_grad;
    return Encoder(std::make_unique<Weights>(folder, pooling, WeightPlace{compute, device}, truncate_dim));
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
  return weights_->dimension;
}

at::Tensor Encoder::embed(std::span<const std::vector<TokenId>> sequences, std::int64_t batch_tokens) const {
  const EncoderConfig& config = weights_->config;
  const at::Device device = weights_->place.device;
  check_ids(sequences, config);
  const bool threads = weights_->backend.side_by_side(config.hidden, config.intermediate);
  const auto batches = batches_of(sequences, weights_->backend.rows_of_batch(batch_tokens, threads));
  std::vector<at::Tensor> blocks(batches.size());
  for_each_batch(static_cast<std::int64_t>(batches.size()), threads, [&](std::int64_t i) {
    const auto b = static_cast<std::size_t>(i);
    blocks[b] = weights_->forward(packed_rows(batches[b], config, device)).cpu();
  });
  const c10::InferenceMode inference;
  return blocks.empty() ? at::empty({0, dimension()}, at::kFloat) : at::cat(blocks);
}

}  // namespace rocket
