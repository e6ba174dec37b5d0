#include "model/encoder.h"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "backend/backend.h"
#include "backend/upload.h"
#include "base/error.h"
#include "base/work_mark.h"
#include "formats/encoder_weights.h"
#include "model/batches.h"
#include "model/decoder.h"
#include "model/encoder_names.h"
#include "model/rope.h"
#include "model/weights.h"

namespace rocket {
namespace {

struct EncoderLayer {
  AffineWeights query, key, value, attention_output, gate, intermediate, output;  // gate: of gated families
  NormWeights attention_norm, output_norm;  // without weights where the rows are normed already
};

/// What the layers of one forward share.
struct EncoderRows {
  AttentionRows attention;
  Rotation rotation, window_rotation;  // the second of layers with a window, where they have another one
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

/// Finds the tensors under the names that the files of ten years have given them.
class Loader {
 public:
  Loader(const EncoderWeights& files, const EncoderConfig& config, const WeightPlace& place)
      : files_(files), config_(config), names_(encoder_names(config.family)), place_(place) {
    for (const std::string& prefix : names_.prefixes)
      if (files.find(fmt::format("{}{}.weight", prefix, names_.words))) prefix_ = prefix;
  }

  EmbeddingWeights embedding() const {
    return {.words_VD = tensor(names_.words + ".weight", {config_.vocabulary, config_.hidden}),
            .positions_PD = positions(),
            .type_D = type_of_first_segment(),
            .norm = norm(names_.embedding_norm)};
  }
  EncoderLayer layer(std::int64_t index) const {
    const std::string name = fmt::format("{}{}.", names_.layers, index);
    const std::int64_t d = config_.hidden, wide = config_.intermediate;
    const auto qkv = affines(name, names_.qkv, 3, d, d, config_.linear_bias);
    auto inner = affines(name, names_.intermediate, config_.gated ? 2 : 1, wide, d, config_.inner_bias);
    if (names_.gate_behind) std::ranges::reverse(inner);
    // ModernBERT: the embedding's norm is that of the first layer, too.
    const bool normed = config_.norms_in_front && index == 0;
    return {.query = qkv[0],
            .key = qkv[1],
            .value = qkv[2],
            .attention_output = affines(name, {names_.attention_output}, 1, d, d, config_.linear_bias)[0],
            .gate = config_.gated ? inner[0] : AffineWeights(),
            .intermediate = inner.back(),
            .output = affines(name, {names_.output}, 1, d, wide, config_.linear_bias)[0],
            .attention_norm = normed ? NormWeights() : norm(name + names_.attention_norm),
            .output_norm = norm(name + names_.output_norm)};
  }
  /// Behind the last layer; without weights where the family has none.
  NormWeights final_norm() const {
    return names_.final_norm.empty() ? NormWeights() : norm(names_.final_norm);
  }
  /// What distance_scores() takes; undefined where attention does not look at distances.
  at::Tensor distance_classes() const {
    if (config_.distance_classes == 0) return {};
    return tensor("encoder.relative_attention_bias.weight", {config_.distance_classes, config_.heads});
  }

 private:
  /// [D]; zeros of a family without token types.
  at::Tensor type_of_first_segment() const {
    if (config_.type_vocabulary == 0) return zeros({config_.hidden});
    return tensor("embeddings.token_type_embeddings.weight", {config_.type_vocabulary, config_.hidden})
        .select(0, 0);
  }
  /// [P, D]; of a family that turns queries and keys instead a single row of zeros.
  at::Tensor positions() const {
    if (config_.rope) return zeros({1, config_.hidden});
    return tensor("embeddings.position_embeddings.weight", {config_.max_positions, config_.hidden});
  }
  at::Tensor zeros(std::vector<std::int64_t> shape) const {
    return at::zeros(shape, at::TensorOptions(place_.device).dtype(place_.dtype));
  }
  at::Tensor tensor(const std::string& name, std::vector<std::int64_t> shape) const {
    return read_weight(files_, place_, prefix_ + name, shape);
  }
  /// `count` layers of one size, each with its own tensor or all in one.
  std::vector<AffineWeights> affines(const std::string& layer, const std::vector<std::string>& names,
                                     std::int64_t count, std::int64_t outputs, std::int64_t inputs,
                                     bool biased) const {
    const std::int64_t of_each = count / static_cast<std::int64_t>(names.size());
    std::vector<AffineWeights> weights;
    for (const std::string& name : names) {
      const at::Tensor all_OI = tensor(layer + name + ".weight", {of_each * outputs, inputs});
      const at::Tensor bias_O =
          biased ? tensor(layer + name + ".bias", {of_each * outputs}) : zeros({of_each * outputs});
      for (std::int64_t i = 0; i < of_each; ++i)
        weights.push_back(backend_for(place_.device, place_.dtype)
                              .prepare_affine(all_OI.narrow(0, i * outputs, outputs),
                                              bias_O.narrow(0, i * outputs, outputs)));
    }
    return weights;
  }
  NormWeights norm(const std::string& name) const {
    const bool old_names = files_.find(prefix_ + name + ".gamma") != nullptr;
    return {tensor(name + (old_names ? ".gamma" : ".weight"), {config_.hidden}),
            config_.norm_bias ? tensor(name + (old_names ? ".beta" : ".bias"), {config_.hidden})
                              : zeros({config_.hidden}),
            config_.norm_eps};
  }

  const EncoderWeights& files_;
  const EncoderConfig& config_;
  const EncoderNames& names_;
  WeightPlace place_;
  std::string prefix_;
};

/// What MPNet adds to the scores by the key's distance from the query, from -(most - 1) to most - 1:
/// [H, 2 most - 1]. Half of the classes is for keys behind the query; of a half the first half is one class a
/// distance, the others grow with the logarithm up to 128 (T5: arXiv 1910.10683, section 2.1).
at::Tensor distance_scores(const at::Tensor& classes_CH, std::int64_t most) {
  constexpr double kFarthest = 128;
  const std::int64_t half = classes_CH.size(0) / 2, exact = half / 2;
  const at::Tensor distance = at::arange(1 - most, most, at::kLong), far = distance.abs();
  const at::Tensor grown =
      (at::log(far.to(at::kFloat) / static_cast<float>(exact)) /
       std::log(kFarthest / static_cast<double>(exact)) * static_cast<double>(half - exact))
          .clamp(0, static_cast<double>(half))
          .to(at::kLong);
  const at::Tensor behind = (distance > 0).to(at::kLong) * half;
  const at::Tensor classes = behind + at::where(far < exact, far, (exact + grown).clamp_max(half - 1));
  return classes_CH.index_select(0, classes.to(classes_CH.device())).t().contiguous();
}

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

/// The weights that turn a mean of rows into a weighted one: of row i of n, from 1, i / (1 + ... + n) * n.
at::Tensor row_weights(const PackedRows& rows, at::Device device) {
  std::vector<float> weights;
  for (std::size_t s = 0; s < rows.sequences.size(); ++s)
    for (std::int64_t i = 1; i <= rows.length(s); ++i)
      weights.push_back(2 * static_cast<float>(i) / static_cast<float>(rows.length(s) + 1));
  return upload(at::tensor(weights), device).unsqueeze(1);
}

std::vector<at::Tensor> rows_of_each(const at::Tensor& x_TD, const PackedRows& rows) {
  std::vector<std::int64_t> lengths;
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) lengths.push_back(rows.length(s));
  return x_TD.split_with_sizes(lengths, 0);
}

/// The vector of each sequence, [S, D] float32, of all its rows; or, where the pooling takes one row, of the
/// rows that are left.
at::Tensor pooled(const Backend& backend, Pooling pooling, const at::Tensor& x_TD, const PackedRows& rows) {
  const at::Tensor x = x_TD.to(at::kFloat);
  switch (pooling) {
    case Pooling::cls:
    case Pooling::last:
      return x;
    case Pooling::mean:
      return backend.mean_rows(x_TD, rows);
    case Pooling::mean_sqrt: {
      std::vector<float> roots;
      for (std::size_t s = 0; s < rows.sequences.size(); ++s)
        roots.push_back(std::sqrt(static_cast<float>(rows.length(s))));
      return backend.mean_rows(x_TD, rows) * upload(at::tensor(roots), x.device()).unsqueeze(1);
    }
    case Pooling::weighted_mean:
      return backend.mean_rows(x * row_weights(rows, x.device()), rows);
    case Pooling::max: {
      std::vector<at::Tensor> largest;
      for (const at::Tensor& of_one : rows_of_each(x, rows)) largest.push_back(of_one.amax(0));
      return at::stack(largest);
    }
  }
  fail_internal("unknown pooling");
}

}  // namespace

struct Encoder::Weights {
  Weights(const std::filesystem::path& folder, Pooling how, const WeightPlace& where,
          std::optional<std::int64_t> truncate_dim)
      : config(read_encoder_config(folder)),
        place(where),
        backend(backend_for(where.device, where.dtype)),
        pooling(how),
        dense(load_dense(config, where.device)) {
    dimension = truncate_dim.value_or(config.dimension());
    if (dimension > config.dimension())
      fail_config("encoder.truncate_dim: {}, but the vectors of {} have {} components", dimension,
                  folder.string(), config.dimension());
    if (config.decoder) {
      decoder.emplace(Decoder::load(folder, where.dtype, where.device, LookAhead::allowed));
      return;
    }
    const Loader loader(files.emplace(folder), config, place);
    embedding = loader.embedding();
    if (const at::Tensor classes_CH = loader.distance_classes(); classes_CH.defined())
      distances_HN = distance_scores(classes_CH, config.max_tokens);
    for (std::int64_t i = 0; i < config.layers; ++i) layers.push_back(loader.layer(i));
    final_norm = loader.final_norm();
    const auto table = [&](const RopeConfig& how) {
      return RopeTable(config.hidden / config.heads, config.max_positions, how, place, backend);
    };
    if (config.rope) rope.emplace(table(*config.rope));
    if (config.window_rope) window_rope.emplace(table(*config.window_rope));
  }

  std::int64_t window_of(std::size_t layer) const {
    return config.windows.empty() ? 0 : config.windows[layer];
  }

  at::Tensor attend(std::size_t index, const at::Tensor& x_TD, const EncoderRows& rows) const {
    const EncoderLayer& layer = layers[index];
    const std::int64_t window = window_of(index);
    const auto heads = [&](const AffineWeights& weights) {
      return backend.affine(weights, x_TD).view({-1, config.heads, config.hidden / config.heads});
    };
    at::Tensor q = heads(layer.query), k = heads(layer.key);
    const at::Tensor v = heads(layer.value);
    if (rope) {
      const Rotation& rotation = window > 0 && window_rope ? rows.window_rotation : rows.rotation;
      q = backend.rotate(q, rotation);
      k = backend.rotate(k, rotation);
    }
    if (distances_HN.defined()) return backend.attend_by_distance(rows.attention, q, k, v, distances_HN);
    return backend.attend(rows.attention, q, k, v, {.causal = false, .window = window});
  }

  /// What the output layer of the feed-forward part reads.
  at::Tensor inner(const EncoderLayer& layer, const at::Tensor& x_TD) const {
    if (config.gated)
      return backend.activate(config.activation, backend.affine(layer.gate, x_TD),
                              backend.affine(layer.intermediate, x_TD));
    return backend.affine_gelu(layer.intermediate, x_TD, config.activation == Activation::gelu);
  }

  at::Tensor normed(const at::Tensor& x_TD, const NormWeights& norm) const {
    return norm.weight_D.defined() ? backend.layer_norm(x_TD, norm) : x_TD;
  }

  /// `wanted`: these rows alone, [S, D]; undefined: all.
  at::Tensor layer_forward(std::size_t index, const at::Tensor& x_TD, const EncoderRows& rows,
                           const at::Tensor& wanted) const {
    const EncoderLayer& layer = layers[index];
    const bool in_front = config.norms_in_front;
    at::Tensor mixed = attend(index, in_front ? normed(x_TD, layer.attention_norm) : x_TD, rows),
               residual = x_TD;
    if (wanted.defined()) {
      mixed = mixed.index_select(0, wanted);
      residual = residual.index_select(0, wanted);
    }
    if (in_front) {
      const at::Tensor y_TD = residual + backend.affine(layer.attention_output, mixed);
      return y_TD + backend.affine(layer.output, inner(layer, normed(y_TD, layer.output_norm)));
    }
    const at::Tensor y_TD =
        backend.affine_norm(layer.attention_output, mixed, residual, layer.attention_norm);
    return backend.affine_norm(layer.output, inner(layer, y_TD), y_TD, layer.output_norm);
  }

  /// The one row of each sequence that the pooling takes; nullopt: it takes all.
  std::optional<std::vector<std::int64_t>> pooled_rows(const PackedRows& rows) const {
    if (pooling != Pooling::cls && pooling != Pooling::last) return std::nullopt;
    std::vector<std::int64_t> index(rows.starts.begin(), rows.starts.end() - 1);
    for (std::size_t s = 0; s < index.size(); ++s)
      if (pooling == Pooling::last) index[s] = rows.starts[s + 1] - 1;
    return index;
  }

  /// [S, D]; [T, D] where the pooling takes all rows.
  at::Tensor hidden(const PackedRows& rows) const {
    const auto index = pooled_rows(rows);
    if (decoder) return decoder->hidden(rows, nullptr, nullptr, index ? &*index : nullptr);
    const at::Tensor wanted = index ? upload(*index, place.device) : at::Tensor();
    const at::Tensor positions_T = rope ? at::zeros_like(rows.positions_T) : rows.positions_T;
    at::Tensor x_TD = backend.embedded(embedding, rows.ids_T, positions_T);
    const EncoderRows of_layers{AttentionRows(rows), rope ? rope->rows(rows) : Rotation(),
                                window_rope ? window_rope->rows(rows) : Rotation()};
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const MarkedWork mark(static_cast<std::int64_t>(i));
      x_TD = layer_forward(i, x_TD, of_layers, i + 1 == layers.size() ? wanted : at::Tensor());
    }
    return normed(x_TD, final_norm);
  }

  /// [S, dimension] float32, unit length.
  at::Tensor forward(const PackedRows& rows) const {
    const MarkedWork mark("embed");
    at::Tensor x_SD = pooled(backend, pooling, hidden(rows), rows);
    const Backend& in_float = backend_for(place.device, at::kFloat);
    for (const DenseLayer& layer : dense) {
      x_SD = in_float.affine(layer.linear, x_SD);
      if (layer.tanh) x_SD = at::tanh(x_SD);
    }
    x_SD = x_SD.narrow(-1, 0, dimension);
    return x_SD / x_SD.square().sum(-1, true).sqrt().clamp_min(1e-12);
  }

  EncoderConfig config;
  std::optional<Decoder> decoder;       // in place of all tensors below but `dense`
  std::optional<EncoderWeights> files;  // the tensors below may be views of its map
  WeightPlace place;
  const Backend& backend;
  Pooling pooling;
  std::int64_t dimension = 0;
  EmbeddingWeights embedding;
  at::Tensor distances_HN;  // as Backend::attend_by_distance takes them
  std::optional<RopeTable> rope, window_rope;
  std::vector<EncoderLayer> layers;
  NormWeights final_norm;
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
