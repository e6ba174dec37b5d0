#include "model/decoder.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
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

/// The modules of a layer in their order: those that make q, k and v, the output of attention, those in front
/// of the activation, the output of the feed-forward layer. Each is the index of the first of its kind.
struct LayerModules {
  explicit LayerModules(const DecoderConfig& c)
      : o(c.joined == Joined::none ? 3 : 1),
        up(o + 1),
        down(up + (c.names.gate_up[1].empty() ? 1 : 2)),
        count(down + 1) {}

  std::int64_t o, up, down, count;
};

std::vector<Module> modules_of_layer(const DecoderConfig& c, std::int64_t layer) {
  const std::int64_t wide = c.heads * c.head_dim, narrow = c.kv_heads * c.head_dim;
  std::vector<Module> modules;
  const auto add = [&](std::string_view name, std::int64_t inputs, std::int64_t outputs, std::int64_t input) {
    modules.push_back(
        {fmt::format("{}layers.{}.{}", c.names.model, layer, name), inputs, outputs, 4 * layer + input});
  };
  if (c.joined == Joined::none) {
    for (std::size_t i = 0; i < 3; ++i) add(c.names.qkv[i], c.hidden, i == 0 ? wide : narrow, 0);
  } else {
    add(c.names.qkv[0], c.hidden, wide + 2 * narrow, 0);
  }
  add(c.names.o, wide, c.hidden, 1);
  const bool alone = c.names.gate_up[1].empty();
  add(c.names.gate_up[0], c.hidden, alone && c.gated ? 2 * c.intermediate : c.intermediate, 2);
  if (!alone) add(c.names.gate_up[1], c.hidden, c.intermediate, 2);
  add(c.names.down, c.intermediate, c.hidden, 3);
  return modules;
}

bool has_bias(const DecoderConfig& c, std::int64_t module) {
  const LayerModules of_layer(c);
  const std::int64_t place = module % of_layer.count;
  if (place == of_layer.o) return c.o_bias;
  return place < of_layer.o ? c.qkv_bias : c.mlp_bias;
}

/// The norms of a layer; those that the family lacks have no weight.
struct LayerNorms {
  NormWeights before_attention, after_attention, before_mlp, after_mlp, q, k;
};

/// Weights of norms that take their product in float32 are kept so.
at::ScalarType type_of_norms(const DecoderConfig& c, at::ScalarType compute) {
  const bool wide = c.norm == NormKind::rms_one_rounding || c.norm == NormKind::rms_above_one;
  return wide ? at::kFloat : compute;
}

}  // namespace

struct Forward;

/// A tensor of the model by its name in Hugging Face's files.
using LoadWeight = std::function<at::Tensor(const std::string& name, const std::vector<std::int64_t>& shape,
                                            at::ScalarType type)>;

struct Decoder::Weights {
  /// `keep`: see Backend. What `load` captures lives as long as the weights, which may be views of it.
  Weights(DecoderConfig shape, const WeightPlace& where, LoadWeight load_weight, bool own_head, bool keep)
      : config(std::move(shape)),
        modules_of(config),
        place(where),
        backend(backend_for(where.device, where.dtype)),
        load(std::move(load_weight)),
        rope(config.head_dim, config.max_positions, config.rope, where, backend) {
    if (config.window_rope)
      window_rope.emplace(config.head_dim, config.max_positions, *config.window_rope, where, backend);
    const std::string model(config.names.model), head_name = fmt::format("{}.weight", config.names.head);
    const std::vector<std::int64_t> words{config.vocabulary, config.hidden};
    embedding_VD = load(fmt::format("{}{}.weight", model, config.names.embedding), words, place.dtype);
    norm = load_norm(model, config.names.norm, config.hidden);
    const at::Tensor head_VD = own_head ? load(head_name, words, place.dtype) : embedding_VD;
    head = {backend.prepare_head(head_VD, keep), config.logit_scale, config.logit_cap};
    for (std::int64_t i = 0; i < config.layers; ++i) load_layer(i, keep);
  }

  /// Of the matrices.
  std::int64_t values() const {
    std::int64_t sum = (config.tied_head ? 1 : 2) * config.vocabulary * config.hidden;
    for (const Module& module : modules) sum += module.inputs * module.outputs;
    return sum;
  }

  /// Without a weight where the family has no norm of this kind: where its name is empty.
  NormWeights load_norm(const std::string& prefix, std::string_view name, std::int64_t width) const {
    if (name.empty()) return {};
    const std::string tensor = fmt::format("{}{}.", prefix, name);
    const at::ScalarType type = type_of_norms(config, place.dtype);
    const at::Tensor weight_D = load(tensor + "weight", {width}, type);
    return {config.norm == NormKind::rms_above_one ? weight_D + 1 : weight_D,
            config.norm == NormKind::layer ? load(tensor + "bias", {width}, type) : at::Tensor(),
            config.norm_eps};
  }

  LayerNorms load_norms(const std::string& prefix) const {
    const DecoderNames& names = config.names;
    const auto of_rows = [&](std::string_view name) { return load_norm(prefix, name, config.hidden); };
    LayerNorms norms{of_rows(names.before_attention),
                     of_rows(names.after_attention),
                     of_rows(names.before_mlp),
                     of_rows(names.after_mlp),
                     {},
                     {}};
    if (!config.qk_norm) return norms;
    const auto width = [&](std::int64_t heads) {
      return (config.qk_norm_of_all_heads ? heads : 1) * config.head_dim;
    };
    norms.q = load_norm(prefix, "self_attn.q_norm", width(config.heads));
    norms.k = load_norm(prefix, "self_attn.k_norm", width(config.kv_heads));
    return norms;
  }

  void load_layer(std::int64_t layer, bool keep) {
    norms.push_back(load_norms(fmt::format("{}layers.{}.", config.names.model, layer)));
    for (Module& module : modules_of_layer(config, layer)) {
      const bool biased = has_bias(config, static_cast<std::int64_t>(modules.size()));
      bias_O.push_back(biased ? load(module.name + ".bias", {module.outputs}, place.dtype) : at::Tensor());
      linears.push_back(
          backend.prepare(load(module.name + ".weight", {module.outputs, module.inputs}, place.dtype), keep));
      modules.push_back(std::move(module));
    }
  }

  /// What the layers read first, [T, D].
  at::Tensor embedded(const at::Tensor& ids_T) const;
  /// What the heads of a layer make of its input, [T, H * K].
  at::Tensor attention(std::int64_t layer, const at::Tensor& x_TD, const Forward& f) const;
  /// From there to the layer's output: attention's output layer and the feed-forward layer, each added to x.
  at::Tensor rest_of_layer(std::int64_t layer, const at::Tensor& x_TD, const at::Tensor& mixed,
                           const Forward& f) const;
  at::Tensor feed_forward(std::int64_t layer, const at::Tensor& x_TD, const Forward& f) const;
  at::Tensor added(const at::Tensor& y_TD, const NormWeights& after) const;
  /// {x + y, its norm}; see Backend::add_rms_norm.
  std::array<at::Tensor, 2> sum_and_norm(const at::Tensor& x_TD, const at::Tensor& y_TD,
                                         const NormWeights& norm) const;

  DecoderConfig config;
  LayerModules modules_of;
  WeightPlace place;
  const Backend& backend;
  LoadWeight load;
  std::shared_ptr<const ModelWeights> files;  // null: made, not read
  RopeTable rope;
  std::optional<RopeTable> window_rope;
  at::Tensor embedding_VD;
  NormWeights norm;
  HeadWeight head;
  std::vector<LayerNorms> norms;  // by layer
  std::vector<Module> modules;
  std::vector<LinearWeight> linears;  // by module
  std::vector<at::Tensor> bias_O;     // by module; undefined where there is none
};

/// What the layers of one forward share.
struct Forward {
  const Backend& backend;
  AttentionRows rows;
  Rotation rotation, window_rotation;  // the second of layers with a window, where they have another one
  const std::vector<at::Tensor>& bias_O;
  LinearDelta* delta;
  KvCache* cache;
};

namespace {

/// Outputs of `count` linear layers from `first` on, which read the same input.
std::vector<at::Tensor> project(const at::Tensor& x_TI, const std::vector<LinearWeight>& linears,
                                std::int64_t first, std::int64_t count, const Forward& f) {
  std::vector<std::int64_t> modules;
  std::vector<const LinearWeight*> weights;
  std::vector<at::Tensor> biases;
  for (std::int64_t module = first; module < first + count; ++module) {
    modules.push_back(module);
    weights.push_back(&linears[static_cast<std::size_t>(module)]);
    biases.push_back(f.bias_O[static_cast<std::size_t>(module)]);
  }
  std::vector<at::Tensor> outputs = f.backend.linear(x_TI, weights, biases);
  if (f.delta != nullptr) f.delta->add(f.backend, x_TI, modules, outputs);
  return outputs;
}

/// Rows as they are where the family has no such norm.
at::Tensor normed(const Backend& backend, const at::Tensor& x_TD, const NormWeights& norm) {
  if (!norm.weight_D.defined()) return x_TD;
  return norm.bias_D.defined() ? backend.layer_norm(x_TD, norm)
                               : backend.rms_norm(x_TD, norm.weight_D, norm.eps);
}

/// Columns of a joined output, each part in memory of its own.
std::vector<at::Tensor> parts_of(const at::Tensor& x_TO, at::IntArrayRef widths) {
  std::vector<at::Tensor> parts = x_TO.split_with_sizes(widths, 1);
  for (at::Tensor& part : parts) part = part.contiguous();
  return parts;
}

/// q, k and v, [T, heads * K] each.
std::vector<at::Tensor> queries_keys_values(const DecoderConfig& c, std::vector<at::Tensor> outputs_TO) {
  if (c.joined == Joined::none) return outputs_TO;
  const std::int64_t wide = c.heads * c.head_dim, narrow = c.kv_heads * c.head_dim;
  if (c.joined == Joined::in_turn) return parts_of(outputs_TO[0], {wide, narrow, narrow});
  const at::Tensor of_heads = outputs_TO[0].view({-1, c.heads, 3, c.head_dim});
  std::vector<at::Tensor> parts;
  for (std::int64_t i = 0; i < 3; ++i) parts.push_back(of_heads.select(2, i).flatten(1).contiguous());
  return parts;
}

/// Heads of q or k, [T, H, K]: normed and turned where the family does so in this layer.
at::Tensor turned_heads(const DecoderConfig& c, const at::Tensor& x_TO, const NormWeights& norm,
                        const Rotation* rotation, const Forward& f) {
  const std::int64_t width = norm.weight_D.defined() ? norm.weight_D.size(0) : x_TO.size(1);
  const at::Tensor heads_THK =
      normed(f.backend, x_TO.view({-1, width}), norm).view({x_TO.size(0), -1, c.head_dim});
  return rotation != nullptr ? f.backend.rotate(heads_THK, *rotation) : heads_THK;
}

/// Null where the layer turns nothing.
const Rotation* rotation_of(const DecoderConfig& c, std::int64_t layer, const Forward& f) {
  const RopeConfig* rope = c.rope_of(layer);
  if (rope == nullptr) return nullptr;
  return rope == &c.rope ? &f.rotation : &f.window_rotation;
}

AttentionRule rule_of(const DecoderConfig& c, std::int64_t layer) {
  return {.causal = !c.looks_ahead,
          .window = c.windows[static_cast<std::size_t>(layer)],
          .scale = c.attention_scale,
          .cap = c.attention_cap};
}

void check_ids(const PackedRows& rows, std::int64_t vocabulary) {
  if (rows.least_id >= 0 && rows.most_id < vocabulary) return;
  fail_data(
      "token id {} lies outside the model's vocabulary of {}: tokenizer and model do not belong together",
      rows.least_id < 0 ? rows.least_id : rows.most_id, vocabulary);
}

bool reads_any(const LinearDelta& delta, std::int64_t first, std::int64_t end) {
  for (std::int64_t module = first; module < end; ++module)
    if (delta.reads(module)) return true;
  return false;
}

/// x + y; without gradients in x's own memory.
at::Tensor plus(const at::Tensor& x_TD, const at::Tensor& y_TD) {
  return c10::GradMode::is_enabled() ? x_TD + y_TD : x_TD.add_(y_TD);
}

}  // namespace

/// The factor is rounded to the type of the rows, as Gemma's is.
at::Tensor Decoder::Weights::embedded(const at::Tensor& ids_T) const {
  at::Tensor x_TD = embedding_VD.index_select(0, ids_T);
  if (config.embedding_scale == 1) return x_TD;
  return x_TD.mul_(at::scalar_tensor(config.embedding_scale, place.dtype).item<double>());
}

at::Tensor Decoder::Weights::attention(std::int64_t layer, const at::Tensor& x_TD, const Forward& f) const {
  const MarkedWork mark(layer);
  const LayerNorms& n = norms[static_cast<std::size_t>(layer)];
  const auto parts = queries_keys_values(config, project(normed(backend, x_TD, n.before_attention), linears,
                                                         layer * modules_of.count, modules_of.o, f));
  const Rotation* rotation = rotation_of(config, layer, f);
  const at::Tensor q_THK = turned_heads(config, parts[0], n.q, rotation, f);
  const at::Tensor k_TGK = turned_heads(config, parts[1], n.k, rotation, f);
  const at::Tensor v_TGK = parts[2].view({-1, config.kv_heads, config.head_dim});
  const AttentionRule rule = rule_of(config, layer);
  return f.cache != nullptr ? f.cache->attend(layer, q_THK, k_TGK, v_TGK, rule)
                            : backend.attend(f.rows, q_THK, k_TGK, v_TGK, rule);
}

at::Tensor Decoder::Weights::feed_forward(std::int64_t layer, const at::Tensor& x_TD,
                                          const Forward& f) const {
  const std::int64_t first = layer * modules_of.count;
  auto outputs = project(x_TD, linears, first + modules_of.up, modules_of.down - modules_of.up, f);
  if (config.gated && outputs.size() == 1)
    outputs = parts_of(outputs[0], {config.intermediate, config.intermediate});
  const at::Tensor active_TI =
      backend.activate(config.activation, outputs[0], config.gated ? outputs[1] : at::Tensor());
  return project(active_TI, linears, first + modules_of.down, 1, f)[0];
}

/// What a part of a layer adds to its rows.
at::Tensor Decoder::Weights::added(const at::Tensor& y_TD, const NormWeights& after) const {
  const at::Tensor sized_TD = normed(backend, y_TD, after);
  return config.residual_scale == 1 ? sized_TD : sized_TD * config.residual_scale;
}

at::Tensor Decoder::Weights::rest_of_layer(std::int64_t layer, const at::Tensor& x_TD,
                                           const at::Tensor& mixed, const Forward& f) const {
  const MarkedWork mark(layer);
  const LayerNorms& n = norms[static_cast<std::size_t>(layer)];
  const at::Tensor attended_TD =
      added(project(mixed, linears, layer * modules_of.count + modules_of.o, 1, f)[0], n.after_attention);
  if (config.parallel) {
    const at::Tensor y_TD = feed_forward(layer, normed(backend, x_TD, n.before_mlp), f);
    return plus(x_TD, added(y_TD, n.after_mlp) + attended_TD);
  }
  const auto [sum_TD, normed_TD] = sum_and_norm(x_TD, attended_TD, n.before_mlp);
  return plus(sum_TD, added(feed_forward(layer, normed_TD, f), n.after_mlp));
}

std::array<at::Tensor, 2> Decoder::Weights::sum_and_norm(const at::Tensor& x_TD, const at::Tensor& y_TD,
                                                         const NormWeights& norm) const {
  const bool rms = norm.weight_D.defined() && !norm.bias_D.defined();
  if (rms) return backend.add_rms_norm(x_TD, y_TD, norm.weight_D, norm.eps);
  const at::Tensor sum_TD = plus(x_TD, y_TD);
  return {sum_TD, normed(backend, sum_TD, norm)};
}

Decoder Decoder::load(const std::filesystem::path& folder, at::ScalarType compute, at::Device device,
                      LookAhead look_ahead) {
  return in_context("base model", [&] {
    const c10::NoGradGuard no_grad;
    const WeightPlace place{compute, device};
    DecoderConfig config = read_decoder_config(folder, look_ahead);
    for (const std::string& note : config.notes) log::warn("{}", note);
    const auto files = std::make_shared<const ModelWeights>(folder);
    if (config.qkv_bias_may_lack)
      config.qkv_bias =
          files->find(fmt::format("{}layers.0.{}.bias", config.names.model, config.names.qkv[0])) != nullptr;
    const auto load = [files, device](const std::string& name, const std::vector<std::int64_t>& shape,
                                      at::ScalarType type) {
      const StoredTensor& stored = files->at(name, shape);
      return in_context(files->path_of(name).string(), [&] { return load_weight(stored, {type, device}); });
    };
    // A tied model whose file holds a head all the same uses it, as in transformers 5.
    const bool own_head =
        !config.tied_head || files->find(fmt::format("{}.weight", config.names.head)) != nullptr;
    const bool keep = files->parameters() <= kCopiedElements;
    auto weights = std::make_unique<Weights>(config, place, load, own_head, keep);
    weights->files = files;
    return Decoder(std::move(weights));
  });
}

Decoder Decoder::fresh(const DecoderConfig& config, at::ScalarType compute, at::Device device) {
  const c10::NoGradGuard no_grad;
  const auto draw = [=](const std::string&, const std::vector<std::int64_t>& shape, at::ScalarType type) {
    const auto options = at::TensorOptions(type).device(device);
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
  return {c.layers, c.kv_heads, c.head_dim, compute(), device(), positions, c.attention_cap > 0};
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
  const Weights& w = *weights_;
  return {w.backend,
          AttentionRows(rows),
          w.rope.rows(rows),
          w.window_rope ? w.window_rope->rows(rows) : Rotation{},
          w.bias_O,
          delta,
          cache};
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
  at::Tensor x_TD = w.embedded(rows.ids_T);
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
  return normed(w.backend, x_TD, w.norm);
}

at::Tensor Decoder::hidden_for_training(const PackedRows& rows, const at::Tensor& asked_Q, LinearDelta* delta,
                                        bool recompute_layers) const {
  const Weights& w = *weights_;
  arrange(rows, delta, nullptr);
  const Forward forward = begin(rows, delta, nullptr);
  const std::int64_t last = w.config.layers - 1, count = w.modules_of.count;
  // Once more, when no row attends to another any longer.
  const bool read_to_the_end =
      delta != nullptr && reads_any(*delta, last * count + w.modules_of.o, (last + 1) * count);
  at::Tensor x_TD = w.embedded(rows.ids_T);
  for (std::int64_t i = 0; i <= last; ++i) {
    const at::Tensor kept_Q = i == last && !read_to_the_end ? asked_Q : at::Tensor();
    const auto layer = [&w, i, forward, kept_Q](const at::Tensor& x) {
      const at::Tensor mixed = w.attention(i, x, forward);
      if (!kept_Q.defined()) return w.rest_of_layer(i, x, mixed, forward);
      return w.rest_of_layer(i, x.index_select(0, kept_Q), mixed.index_select(0, kept_Q), forward);
    };
    // Nothing is learned below the first expert, and nothing need be computed again there.
    const bool learns =
        x_TD.requires_grad() || (delta != nullptr && reads_any(*delta, i * count, (i + 1) * count));
    x_TD = recompute_layers && learns ? recomputed(x_TD, layer) : layer(x_TD);
  }
  if (read_to_the_end) x_TD = x_TD.index_select(0, asked_Q);
  return normed(w.backend, x_TD, w.norm);
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
