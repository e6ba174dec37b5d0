#include "model/decoder.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"
#include "formats/tensors.h"
#include "model/attention.h"
#include "model/kv_cache.h"
#include "model/layers.h"
#include "model/product.h"
#include "model/rope.h"

namespace rocket {
namespace {

/// Elements of logits that exist at one time in nll().
constexpr std::int64_t kLogitsPerChunk = std::int64_t{1} << 22;

enum Linear : std::int64_t { q, k, v, o, gate, up, down, linears_per_layer };

std::array<Module, linears_per_layer> modules_of_layer(const DecoderConfig& c, std::int64_t layer) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  const std::int64_t wide = c.heads * c.head_dim, narrow = c.kv_heads * c.head_dim;
  return {{{prefix + "self_attn.q_proj", c.hidden, wide},
           {prefix + "self_attn.k_proj", c.hidden, narrow},
           {prefix + "self_attn.v_proj", c.hidden, narrow},
           {prefix + "self_attn.o_proj", wide, c.hidden},
           {prefix + "mlp.gate_proj", c.hidden, c.intermediate},
           {prefix + "mlp.up_proj", c.hidden, c.intermediate},
           {prefix + "mlp.down_proj", c.intermediate, c.hidden}}};
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

void check_windows(const DecoderConfig& c, const std::filesystem::path& folder) {
  if (std::ranges::any_of(c.windows, [&](std::int64_t window) { return window > 0 && window < c.max_positions; }))
    fail_data("{}: sliding windows are not computed yet", (folder / "config.json").string());
}

}  // namespace

struct Decoder::Weights {
  Weights(const std::filesystem::path& folder, const WeightPlace& where)
      : config(read_decoder_config(folder)), files(folder), place(where), rope(config, where) {
    check_windows(config, folder);
    embedding_VD = load("model.embed_tokens.weight", {config.vocabulary, config.hidden});
    norm_D = load("model.norm.weight", {config.hidden});
    // A tied model whose file holds a head all the same uses it, as in transformers 5.
    const bool own_head = !config.tied_head || files.find("lm_head.weight") != nullptr;
    head_VD = own_head ? load("lm_head.weight", {config.vocabulary, config.hidden}) : embedding_VD;
    for (std::int64_t i = 0; i < config.layers; ++i) load_layer(i);
  }

  at::Tensor load(const std::string& name, std::vector<std::int64_t> shape) const {
    return load_weight(files.at(name, shape), place);
  }

  void load_layer(std::int64_t layer) {
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
      linear_OI.push_back(load(module.name + ".weight", {module.outputs, module.inputs}));
      modules.push_back(std::move(module));
    }
  }

  DecoderConfig config;
  ModelWeights files;  // the tensors below may be views of its map
  WeightPlace place;
  RopeTable rope;
  at::Tensor embedding_VD, norm_D, head_VD;
  std::vector<LayerNorms> norms;  // by layer
  std::vector<Module> modules;
  std::vector<at::Tensor> linear_OI;  // by module
  std::vector<at::Tensor> bias_O;     // by module; undefined where there is none
};

namespace {

/// What the layers of one forward share.
struct Forward {
  const AttentionPlan& plan;
  const Rotation& rotation;
  const std::vector<at::Tensor>& bias_O;
  LinearDelta* delta;
  KvCache* cache;
};

/// Outputs of linear layers that read the same input.
template <std::size_t n>
std::array<at::Tensor, n> project(const at::Tensor& x_TI, const std::vector<at::Tensor>& linear_OI,
                                  const std::array<std::int64_t, n>& modules, const Forward& f) {
  std::array<at::Tensor, n> outputs;
  for (std::size_t i = 0; i < n; ++i) {
    const auto module = static_cast<std::size_t>(modules[i]);
    outputs[i] = product(x_TI, linear_OI[module]);
    if (f.bias_O[module].defined()) outputs[i].add_(f.bias_O[module]);
  }
  if (f.delta != nullptr) f.delta->add(x_TI, modules, outputs);
  return outputs;
}

/// Heads of q or k, [T, H, K]: normed where the family does so, then turned.
at::Tensor turned_heads(const DecoderConfig& c, const at::Tensor& x_TO, const at::Tensor& norm_K,
                        const Rotation& rotation) {
  const at::Tensor heads_K = x_TO.view({-1, c.head_dim});
  return rotate((norm_K.defined() ? rms_norm(heads_K, norm_K, c.norm_eps) : heads_K)
                    .view({x_TO.size(0), -1, c.head_dim}),
                rotation);
}

at::Tensor attention_block(const DecoderConfig& c, const std::vector<at::Tensor>& linear_OI,
                           std::int64_t layer, const LayerNorms& norms, const at::Tensor& x_TD,
                           const Forward& f) {
  const std::int64_t first = layer * linears_per_layer;
  const auto [q_TO, k_TO, v_TO] = project<3>(x_TD, linear_OI, {first + q, first + k, first + v}, f);
  const at::Tensor q_THK = turned_heads(c, q_TO, norms.q_K, f.rotation);
  const at::Tensor k_TGK = turned_heads(c, k_TO, norms.k_K, f.rotation);
  const at::Tensor v_TGK = v_TO.view({-1, c.kv_heads, c.head_dim});
  const at::Tensor mixed = f.cache != nullptr ? f.cache->attend(layer, f.plan, q_THK, k_TGK, v_TGK)
                                              : attend(f.plan, q_THK, k_TGK, v_TGK, Mask::causal);
  return project<1>(mixed, linear_OI, {first + o}, f)[0];
}

at::Tensor mlp_block(const std::vector<at::Tensor>& linear_OI, std::int64_t layer, const at::Tensor& x_TD,
                     const Forward& f) {
  const std::int64_t first = layer * linears_per_layer;
  const auto [gate_TI, up_TI] = project<2>(x_TD, linear_OI, {first + gate, first + up}, f);
  return project<1>(rocket::silu(gate_TI) * up_TI, linear_OI, {first + down}, f)[0];
}

void check_ids(const at::Tensor& ids_T, std::int64_t vocabulary) {
  if (!ids_T.device().is_cpu() || ids_T.numel() == 0) return;
  const auto [least, most] = at::aminmax(ids_T);
  if (least.item<std::int64_t>() < 0 || most.item<std::int64_t>() >= vocabulary) {
    fail_data(
        "token id {} lies outside the model's vocabulary of {}: tokenizer and model do not belong together",
        least.item<std::int64_t>() < 0 ? least.item<std::int64_t>() : most.item<std::int64_t>(), vocabulary);
  }
}

/// Gradient of each row's nll with respect to its own row: (softmax - one at the target) W. Takes over
/// `log_p`.
at::Tensor nll_gradient(at::Tensor log_p_TV, const at::Tensor& targets_T1, const at::Tensor& head_VD) {
  at::Tensor p_TV = log_p_TV.exp_();
  p_TV.scatter_add_(1, targets_T1, at::full_like(targets_T1, -1, p_TV.options()));
  return at::mm(p_TV.to(head_VD.scalar_type()), head_VD).to(at::kFloat);
}

}  // namespace

Decoder Decoder::load(const std::filesystem::path& folder, at::ScalarType compute, at::Device device) {
  return in_context("base model", [&] {
    const c10::NoGradGuard no_grad;
    return Decoder(std::make_unique<Weights>(folder, WeightPlace{compute, device}));
  });
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
const std::vector<Module>& Decoder::modules() const {
  return weights_->modules;
}

const at::Tensor& Decoder::weight(std::int64_t module) const {
  return weights_->linear_OI.at(static_cast<std::size_t>(module));
}

at::Tensor Decoder::hidden(const PackedRows& rows, LinearDelta* delta, KvCache* cache) const {
  const Weights& w = *weights_;
  check_ids(rows.ids_T, w.config.vocabulary);
  if (delta != nullptr) delta->arrange(rows);
  const AttentionPlan plan = cache != nullptr ? cache->plan(rows) : AttentionPlan(rows);
  const Rotation rotation = w.rope.rows(rows);
  const Forward forward{plan, rotation, w.bias_O, delta, cache};
  at::Tensor x_TD = w.embedding_VD.index_select(0, rows.ids_T);
  for (std::int64_t i = 0; i < w.config.layers; ++i) {
    const LayerNorms& norms = w.norms[static_cast<std::size_t>(i)];
    x_TD = x_TD + attention_block(w.config, w.linear_OI, i, norms,
                                  rms_norm(x_TD, norms.attention_D, w.config.norm_eps), forward);
    x_TD = x_TD + mlp_block(w.linear_OI, i, rms_norm(x_TD, norms.mlp_D, w.config.norm_eps), forward);
  }
  if (cache != nullptr) cache->advance(rows);
  return rms_norm(x_TD, w.norm_D, w.config.norm_eps);
}

at::Tensor Decoder::logits(const at::Tensor& hidden_TD) const {
  return product(hidden_TD, weights_->head_VD).to(at::kFloat);
}

at::Tensor Decoder::nll(const at::Tensor& hidden_TD, const at::Tensor& targets_T) const {
  const bool differentiable = c10::GradMode::is_enabled() && hidden_TD.requires_grad();
  const std::int64_t chunk = std::max<std::int64_t>(1, kLogitsPerChunk / weights_->config.vocabulary);
  std::vector<at::Tensor> values, gradients;
  for (std::int64_t begin = 0; begin < hidden_TD.size(0); begin += chunk) {
    const c10::NoGradGuard no_grad;
    const std::int64_t rows = std::min(chunk, hidden_TD.size(0) - begin);
    const at::Tensor targets_T1 = targets_T.narrow(0, begin, rows).unsqueeze(1);
    // log_softmax gives one thread a whole row: its sum does not depend on the number of threads.
    at::Tensor log_p_TV = at::log_softmax(logits(hidden_TD.narrow(0, begin, rows)), -1);
    values.push_back(-log_p_TV.gather(1, targets_T1).squeeze(1));
    if (differentiable) gradients.push_back(nll_gradient(std::move(log_p_TV), targets_T1, weights_->head_VD));
  }
  const at::Tensor nll_T =
      values.empty() ? at::zeros({0}, hidden_TD.options().dtype(at::kFloat)) : at::cat(values);
  if (!differentiable || values.empty()) return nll_T;
  // A term of value zero carries the gradient, so that no logits are kept for the backward pass.
  const at::Tensor carrier_T = (hidden_TD.to(at::kFloat) * at::cat(gradients)).sum(-1);
  return nll_T + (carrier_T - carrier_T.detach());
}

}  // namespace rocket
