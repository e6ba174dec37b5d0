#include "model/decoder.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>

#include "backend/backend.h"
#include "backend/backward.h"
#include "backend/upload.h"
#include "base/activity.h"
#include "base/error.h"
#include "base/log.h"
#include "base/work_mark.h"
#include "formats/tensors.h"
#include "model/rope.h"
#include "model/weights.h"

namespace rocket {
namespace {

/// Beside a base of at most so many elements the backend may keep a second copy. Of a larger one the ranks of
/// a node share the mapped file.
constexpr std::int64_t kCopiedElements = std::int64_t{1} << 29;

enum Linear : std::int64_t { q, k, v, o, gate, up, down, linears_per_layer };

std::array<Module, linears_per_layer> modules_of_layer(const DecoderConfig& c, std::int64_t layer) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  const std::int64_t wide = c.heads * c.head_dim, narrow = c.kv_heads * c.head_dim;
  const std::int64_t input =
      4 * layer;  // of attention, of its output, of the feed-forward layer, of its output
  return {{{prefix + "self_attn.q_proj", c.hidden, wide, input},
           {prefix + "self_attn.k_proj", c.hidden, narrow, input},
           {prefix + "self_attn.v_proj", c.hidden, narrow, input},
           {prefix + "self_attn.o_proj", wide, c.hidden, input + 1},
           {prefix + "mlp.gate_proj", c.hidden, c.intermediate, input + 2},
           {prefix + "mlp.up_proj", c.hidden, c.intermediate, input + 2},
           {prefix + "mlp.down_proj", c.intermediate, c.hidden, input + 3}}};
}

bool has_bias(const DecoderConfig& c, std::int64_t module) {
  const std::int64_t linear = module % linears_per_layer;
  if (linear == o) return c.o_bias;
  return linear < o ? c.qkv_bias : c.mlp_bias;
}

/// The weights of a layer's norms.
struct LayerNorms {
  at::Tensor attention_D, mlp_D;
  at::Tensor q_K, k_K;  // undefined in families without
};

}  // namespace

struct Forward;

/// A tensor of the model by its name in Hugging Face's files.
using LoadWeight = std::function<at::Tensor(const std::string& name, const std::vector<std::int64_t>& shape)>;

struct Decoder::Weights {
  /// `keep`: see Backend. What `load` captures lives as long as the weights, which may be views of it.
  Weights(DecoderConfig shape, const WeightPlace& where, LoadWeight load_weight, bool own_head, bool keep)
      : config(std::move(shape)),
        place(where),
        backend(backend_for(where.device, where.dtype)),
        load(std::move(load_weight)),
        rope(config, where, backend) {
    embedding_VD = load("model.embed_tokens.weight", {config.vocabulary, config.hidden});
    norm_D = load("model.norm.weight", {config.hidden});
    head = backend.prepare_head(
        own_head ? load("lm_head.weight", {config.vocabulary, config.hidden}) : embedding_VD, keep);
    for (std::int64_t i = 0; i < config.layers; ++i) load_layer(i, keep);
  }

  /// Of the matrices.
  std::int64_t values() const {
    std::int64_t sum = (config.tied_head ? 1 : 2) * config.vocabulary * config.hidden;
    for (const Module& module : modules) sum += module.inputs * module.outputs;
    return sum;
  }

  void load_layer(std::int64_t layer, bool keep) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    norms.push_back({load(prefix + "input_layernorm.weight", {config.hidden}),
                     load(prefix + "post_attention_layernorm.weight", {config.hidden})});
    if (config.qk_norm) {
      norms.back().q_K = load(prefix + "self_attn.q_norm.weight", {config.head_dim});
      norms.back().k_K = load(prefix + "self_attn.k_norm.weight", {config.head_dim});
    }
    for (Module& module : modules_of_layer(config, layer)) {
      const bool biased = has_bias(config, static_cast<std::int64_t>(modules.size()));
      bias_O.push_back(biased ? load(module.name + ".bias", {module.outputs}) : at::Tensor());
      linears.push_back(
          backend.prepare(load(module.name + ".weight", {module.outputs, module.inputs}), keep));
      modules.push_back(std::move(module));
    }
  }

  /// What the heads of a layer make of its input, [T, H * K].
  at::Tensor attention(std::int64_t layer, const at::Tensor& x_TD, const Forward& f) const;
  /// From there to the layer's output: attention's output layer and the feed-forward layer, each added to x.
  at::Tensor rest_of_layer(std::int64_t layer, const at::Tensor& x_TD, const at::Tensor& mixed,
                           const Forward& f) const;

  DecoderConfig config;
  WeightPlace place;
  const Backend& backend;
  LoadWeight load;
  std::shared_ptr<const ModelWeights> files;  // null: made, not read
  RopeTable rope;
  at::Tensor embedding_VD, norm_D;
  LinearWeight head;
  std::vector<LayerNorms> norms;  // by layer
  std::vector<Module> modules;
  std::vector<LinearWeight> linears;  // by module
  std::vector<at::Tensor> bias_O;     // by module; undefined where there is none
};

/// What the layers of one forward share.
struct Forward {
  const Backend& backend;
  AttentionRows rows;
  Rotation rotation;
  const std::vector<at::Tensor>& bias_O;
  LinearDelta* delta;
  KvCache* cache;
};

namespace {

/// Outputs of linear layers that read the same input.
template <std::size_t n>
std::array<at::Tensor, n> project(const at::Tensor& x_TI, const std::vector<LinearWeight>& linears,
                                  const std::array<std::int64_t, n>& modules, const Forward& f) {
  std::array<const LinearWeight*, n> weights;
  std::array<at::Tensor, n> biases;
  for (std::size_t i = 0; i < n; ++i) {
    weights[i] = &linears[static_cast<std::size_t>(modules[i])];
    biases[i] = f.bias_O[static_cast<std::size_t>(modules[i])];
  }
  std::array<at::Tensor, n> outputs;
  std::ranges::move(f.backend.linear(x_TI, weights, biases), outputs.begin());
  if (f.delta != nullptr) f.delta->add(f.backend, x_TI, modules, outputs);
  return outputs;
}

/// Heads of q or k, [T, H, K]: normed where the family does so, then turned.
at::Tensor turned_heads(const DecoderConfig& c, const at::Tensor& x_TO, const at::Tensor& norm_K,
                        const Forward& f) {
  const at::Tensor heads_K = x_TO.view({-1, c.head_dim});
  return f.backend.rotate((norm_K.defined() ? f.backend.rms_norm(heads_K, norm_K, c.norm_eps) : heads_K)
                              .view({x_TO.size(0), -1, c.head_dim}),
                          f.rotation);
}

/// What the heads make of normed rows, [T, H * K]: attention before its output layer.
at::Tensor mix(const DecoderConfig& c, const std::vector<LinearWeight>& linears, std::int64_t layer,
               const LayerNorms& norms, const at::Tensor& x_TD, const Forward& f) {
  const std::int64_t first = layer * linears_per_layer;
  const auto [q_TO, k_TO, v_TO] = project<3>(x_TD, linears, {first + q, first + k, first + v}, f);
  const at::Tensor q_THK = turned_heads(c, q_TO, norms.q_K, f);
  const at::Tensor k_TGK = turned_heads(c, k_TO, norms.k_K, f);
  const at::Tensor v_TGK = v_TO.view({-1, c.kv_heads, c.head_dim});
  const Mask mask{.causal = true, .window = c.windows[static_cast<std::size_t>(layer)]};
  return f.cache != nullptr ? f.cache->attend(layer, q_THK, k_TGK, v_TGK, mask)
                            : f.backend.attend(f.rows, q_THK, k_TGK, v_TGK, mask);
}

at::Tensor mlp_block(const std::vector<LinearWeight>& linears, std::int64_t layer, const at::Tensor& x_TD,
                     const Forward& f) {
  const std::int64_t first = layer * linears_per_layer;
  const auto [gate_TI, up_TI] = project<2>(x_TD, linears, {first + gate, first + up}, f);
  return project<1>(f.backend.silu_times(gate_TI, up_TI), linears, {first + down}, f)[0];
}

void check_ids(const PackedRows& rows, std::int64_t vocabulary) {
  if (rows.least_id >= 0 && rows.most_id < vocabulary) return;
  fail_data(
      "token id {} lies outside the model's vocabulary of {}: tokenizer and model do not belong together",
      rows.least_id < 0 ? rows.least_id : rows.most_id, vocabulary);
}

bool reads_any(const LinearDelta& delta, std::int64_t layer, std::span<const Linear> linears) {
  return std::ranges::any_of(linears,
                             [&](Linear module) { return delta.reads(layer * linears_per_layer + module); });
}

/// Whether the rows of a layer are read once more when no row attends to another any longer.
bool reads_behind_attention(const LinearDelta& delta, std::int64_t layer) {
  return reads_any(delta, layer, std::array{o, gate, up, down});
}

bool reads_layer(const LinearDelta& delta, std::int64_t layer) {
  return reads_any(delta, layer, std::array{q, k, v, o, gate, up, down});
}

/// x + y; without gradients in x's own memory.
at::Tensor plus(const at::Tensor& x_TD, const at::Tensor& y_TD) {
  return c10::GradMode::is_enabled() ? x_TD + y_TD : x_TD.add_(y_TD);
}

}  // namespace

at::Tensor Decoder::Weights::attention(std::int64_t layer, const at::Tensor& x_TD, const Forward& f) const {
  const MarkedWork mark(layer);
  const LayerNorms& n = norms[static_cast<std::size_t>(layer)];
  return mix(config, linears, layer, n, backend.rms_norm(x_TD, n.attention_D, config.norm_eps), f);
}

at::Tensor Decoder::Weights::rest_of_layer(std::int64_t layer, const at::Tensor& x_TD,
                                           const at::Tensor& mixed, const Forward& f) const {
  const MarkedWork mark(layer);
  const LayerNorms& n = norms[static_cast<std::size_t>(layer)];
  const at::Tensor attended_TD = project<1>(mixed, linears, {layer * linears_per_layer + o}, f)[0];
  const auto [y_TD, normed_TD] = backend.add_rms_norm(x_TD, attended_TD, n.mlp_D, config.norm_eps);
  return plus(y_TD, mlp_block(linears, layer, normed_TD, f));
}

Decoder Decoder::load(const std::filesystem::path& folder, at::ScalarType compute, at::Device device) {
  return in_context("base model", [&] {
    const c10::NoGradGuard no_grad;
    const WeightPlace place{compute, device};
    DecoderConfig config = read_decoder_config(folder);
    for (const std::string& note : config.notes) log::warn("{}", note);
    const auto files = std::make_shared<const ModelWeights>(folder);
    if (config.qkv_bias_may_lack)
      config.qkv_bias = files->find("model.layers.0.self_attn.q_proj.bias") != nullptr;
    const auto load = [files, place](const std::string& name, const std::vector<std::int64_t>& shape) {
      const StoredTensor& stored = files->at(name, shape);
      return in_context(files->path_of(name).string(), [&] { return load_weight(stored, place); });
    };
    // A tied model whose file holds a head all the same uses it, as in transformers 5.
    const bool own_head = !config.tied_head || files->find("lm_head.weight") != nullptr;
    const bool keep = files->parameters() <= kCopiedElements;
    auto weights = std::make_unique<Weights>(config, place, load, own_head, keep);
    weights->files = files;
    return Decoder(std::move(weights));
  });
}

Decoder Decoder::fresh(const DecoderConfig& config, at::ScalarType compute, at::Device device) {
  const c10::NoGradGuard no_grad;
  const auto draw = [=](const std::string&, const std::vector<std::int64_t>& shape) {
    const auto options = at::TensorOptions(compute).device(device);
    return shape.size() == 1 ? at::ones(shape, options) : at::empty(shape, options).normal_(0, 0.02);
  };
  return Decoder(
      std::make_unique<Weights>(config, WeightPlace{compute, device}, draw, !config.tied_head, false));
}

Decoder::Decoder(std::unique_ptr<Weights> weights) : weights_(std::move(weights)) {
}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;

const DecoderConfig& Decoder::config() const {
  return weights_->config;
}
at::ScalarType Decoder::compute() const {
  return weights_->place.dtype;
}
at::Device Decoder::device() const {
  return weights_->place.device;
}
const Backend& Decoder::backend() const {
  return weights_->backend;
}

CacheShape Decoder::cache_shape(std::int64_t positions) const {
  const DecoderConfig& c = weights_->config;
  return {c.layers, c.kv_heads, c.head_dim, compute(), device(), positions};
}

std::unique_ptr<KvCache> Decoder::make_cache(std::int64_t positions) const {
  return weights_->backend.make_cache(cache_shape(positions));
}

std::int64_t Decoder::cache_positions() const {
  const auto bytes = static_cast<std::int64_t>(c10::elementSize(compute()));
  return weights_->backend.cache_positions(cache_shape(0), weights_->values() * bytes);
}

const std::vector<Module>& Decoder::modules() const {
  return weights_->modules;
}

std::shared_ptr<const ModelWeights> Decoder::files() const {
  return weights_->files;
}

const at::Tensor& Decoder::weight(std::int64_t module) const {
  return weights_->linears.at(static_cast<std::size_t>(module)).values_OI;
}

void Decoder::arrange(const PackedRows& rows, LinearDelta* delta, KvCache* cache) const {
  check_ids(rows, weights_->config.vocabulary);
  if (delta != nullptr) delta->arrange(rows);
  if (cache != nullptr) cache->arrange(rows);
}

Forward Decoder::begin(const PackedRows& rows, LinearDelta* delta, KvCache* cache) const {
  return {weights_->backend, AttentionRows(rows), weights_->rope.rows(rows), weights_->bias_O, delta, cache};
}

at::Tensor Decoder::hidden(const PackedRows& rows, LinearDelta* delta, KvCache* cache,
                           const std::vector<std::int64_t>* asked) const {
  arrange(rows, delta, cache);
  at::Tensor hidden_TD = hidden_of_arranged(rows, delta, cache, asked);
  if (cache != nullptr) cache->advance(rows);
  return hidden_TD;
}

at::Tensor Decoder::hidden_of_arranged(const PackedRows& rows, LinearDelta* delta, KvCache* cache,
                                       const std::vector<std::int64_t>* asked) const {
  const Weights& w = *weights_;
  const Forward forward = begin(rows, delta, cache);
  at::Tensor x_TD = w.embedding_VD.index_select(0, rows.ids_T);
  for (std::int64_t i = 0; i < w.config.layers; ++i) {
    note_activity();
    at::Tensor mixed = w.attention(i, x_TD, forward);
    if (asked != nullptr && i + 1 == w.config.layers) {  // nobody attends to a row from here on
      const at::Tensor index = upload(*asked, x_TD.device());
      mixed = mixed.index_select(0, index);
      x_TD = x_TD.index_select(0, index);
      if (delta != nullptr) delta->arrange(choose_rows(rows, *asked));
    }
    x_TD = w.rest_of_layer(i, x_TD, mixed, forward);
  }
  return w.backend.rms_norm(x_TD, w.norm_D, w.config.norm_eps);
}

at::Tensor Decoder::hidden_for_training(const PackedRows& rows, const at::Tensor& asked_Q, LinearDelta* delta,
                                        bool recompute_layers) const {
  const Weights& w = *weights_;
  arrange(rows, delta, nullptr);
  const Forward forward = begin(rows, delta, nullptr);
  const std::int64_t last = w.config.layers - 1;
  const bool read_to_the_end = delta != nullptr && reads_behind_attention(*delta, last);
  at::Tensor x_TD = w.embedding_VD.index_select(0, rows.ids_T);
  for (std::int64_t i = 0; i <= last; ++i) {
    const at::Tensor kept_Q = i == last && !read_to_the_end ? asked_Q : at::Tensor();
    const auto layer = [&w, i, forward, kept_Q](const at::Tensor& x) {
      const at::Tensor mixed = w.attention(i, x, forward);
      if (!kept_Q.defined()) return w.rest_of_layer(i, x, mixed, forward);
      return w.rest_of_layer(i, x.index_select(0, kept_Q), mixed.index_select(0, kept_Q), forward);
    };
    // Nothing is learned below the first expert, and nothing need be computed again there.
    const bool learns = x_TD.requires_grad() || (delta != nullptr && reads_layer(*delta, i));
    x_TD = recompute_layers && learns ? recomputed(x_TD, layer) : layer(x_TD);
  }
  if (read_to_the_end) x_TD = x_TD.index_select(0, asked_Q);
  return w.backend.rms_norm(x_TD, w.norm_D, w.config.norm_eps);
}

at::Tensor Decoder::logits(const at::Tensor& hidden_TD) const {
  return weights_->backend.logits(weights_->head, hidden_TD);
}

at::Tensor Decoder::nll(const at::Tensor& hidden_TD, const at::Tensor& targets_T) const {
  return weights_->backend.nll(weights_->head, hidden_TD, targets_T);
}

at::Tensor Decoder::best(const at::Tensor& hidden_TD) const {
  return weights_->backend.best(weights_->head, hidden_TD);
}

}  // namespace rocket
