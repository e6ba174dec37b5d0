#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "formats/model_config.h"
#include "formats/model_folder.h"
#include "formats/model_json.h"
#include "formats/sentence_modules.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

/// What config.json calls the shape, and transformers' default of the number of layers.
struct ShapeKeys {
  const char *hidden, *layers, *heads, *intermediate, *activation;
  const char *positions = "max_position_embeddings", *norm_eps = "layer_norm_eps";
};

constexpr ShapeKeys kUsualKeys{"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                               "hidden_act"};
constexpr ShapeKeys kDistilKeys{"dim", "n_layers", "n_heads", "hidden_dim", "activation"};
constexpr ShapeKeys kModernKeys{.hidden = "hidden_size",
                                .layers = "num_hidden_layers",
                                .heads = "num_attention_heads",
                                .intermediate = "intermediate_size",
                                .activation = "hidden_activation",
                                .norm_eps = "norm_eps"};
/// Of nomic-bert as its authors published it.
constexpr ShapeKeys kNomicKeys{.hidden = "n_embd",
                               .layers = "n_layer",
                               .heads = "n_head",
                               .intermediate = "n_inner",
                               .activation = "activation_function",
                               .positions = "n_positions",
                               .norm_eps = "layer_norm_epsilon"};

/// What the encoders of one model_type have in common, with transformers' defaults.
struct Family {
  std::string_view name;
  std::int64_t vocabulary;
  bool padded_positions = false;  // they begin behind pad_token_id
  bool token_types = true;
  bool distances = false;                   // attention looks at the distance of two tokens
  bool rotary = false;                      // queries and keys are turned in place of learned positions
  const char* position_type = "absolute";   // position_embedding_type
  std::int64_t least_types = 1, types = 2;  // of type_vocab_size: the least number, and the usual one
  const ShapeKeys& keys = kUsualKeys;
  std::int64_t layers = 12, intermediate = 3072, positions = 512;
  const char* activation = "gelu";
  double norm_eps = 1e-12;
};

constexpr std::array<Family, 10> kFamilies{
    {{.name = "bert", .vocabulary = 30522},
     {.name = "xlm-roberta", .vocabulary = 30522, .padded_positions = true},
     {.name = "roberta", .vocabulary = 50265, .padded_positions = true},
     {.name = "camembert", .vocabulary = 30522, .padded_positions = true},
     {.name = "mpnet",
      .vocabulary = 30527,
      .padded_positions = true,
      .token_types = false,
      .distances = true},
     {.name = "distilbert", .vocabulary = 30522, .token_types = false, .keys = kDistilKeys, .layers = 6},
     {.name = "modernbert",
      .vocabulary = 50368,
      .token_types = false,
      .rotary = true,
      .keys = kModernKeys,
      .layers = 22,
      .intermediate = 1152,
      .positions = 8192,
      .norm_eps = 1e-5},
     {.name = "nomic_bert", .vocabulary = 30528, .rotary = true, .positions = 2048, .activation = "silu"},
     // GTE 1.5 as its authors published it, and as transformers has it.
     {.name = "new",
      .vocabulary = 30528,
      .rotary = true,
      .position_type = "rope",
      .least_types = 0,
      .types = 1,
      .positions = 2048},
     {.name = "gte",
      .vocabulary = 250048,
      .rotary = true,
      .position_type = "rope",
      .least_types = 0,
      .types = 1,
      .positions = 8192}}};

/// Why some well-known families are refused.
constexpr std::array<std::array<const char*, 2>, 4> kReasons{{
    {"albert", "its layers share their weights, and its embeddings are narrower than they"},
    {"deberta", "its attention takes contents and positions apart"},
    {"deberta-v2", "its attention takes contents and positions apart"},
    {"t5", "its attention has a bias by distance"},
}};

const Family* find_family(std::string_view name) {
  const auto* found = std::ranges::find(kFamilies, name, &Family::name);
  return found == kFamilies.end() ? nullptr : found;
}

const Family& family_named(const JsonObject& config, const std::string& name) {
  if (const Family* family = find_family(name)) return *family;
  std::string known;
  for (const Family& family : kFamilies) known += fmt::format("{}{}", known.empty() ? "" : ", ", family.name);
  const auto* reason = std::ranges::find(kReasons, name, [](const auto& entry) { return entry[0]; });
  config.refuse("model_type", fmt::format("an encoder of family '{}' is not supported{}{} (known: {})", name,
                                          reason == kReasons.end() ? "" : ": ",
                                          reason == kReasons.end() ? "" : (*reason)[1], known));
}

/// model_max_length of tokenizer_config.json; transformers writes 1e30 for "no bound".
std::int64_t tokenizer_bound(const fs::path& folder, std::int64_t positions) {
  const fs::path file = folder / "tokenizer_config.json";
  if (!is_there(file)) return positions;
  const auto json = JsonObject::read(file);
  const double bound = JsonObject(json, file.string()).number("model_max_length", 0, positions);
  return bound < static_cast<double>(positions) ? std::max<std::int64_t>(1, static_cast<std::int64_t>(bound))
                                                : positions;
}

/// What sentence-transformers does with a text in front of the transformer. It keeps the bound on its tokens
/// in its own file, since version 6 in the tokenizer's; of a folder without such a file the tokenizer's
/// counts.
void read_text_settings(const fs::path& folder, EncoderConfig& e) {
  const fs::path file = folder / "sentence_bert_config.json";
  const auto json = is_there(file) ? JsonObject::read(file) : JsonObject::Json::object();
  const JsonObject config(json, file.string());
  const std::int64_t positions = e.max_positions - (e.padding_id + 1);
  e.lower_case = config.boolean("do_lower_case", false);
  e.max_tokens = config.has("max_seq_length")
                     ? std::min(positions, config.integer("max_seq_length", 1, INT64_MAX))
                     : tokenizer_bound(folder, positions);
}

/// Of the feed-forward layer; "swiglu" is nomic-bert's word for a gate of silu.
Activation read_activation(const JsonObject& config, const Family& family, const ShapeKeys& keys) {
  const std::string word = config.text(keys.activation, family.activation);
  if (word == "gelu") return Activation::gelu;
  if (word == "gelu_new" || word == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  const bool silu = family.rotary && (word == "silu" || word == "swiglu");
  if (silu) return Activation::silu;
  config.refuse(keys.activation,
                fmt::format("'{}' is not supported (known: gelu, gelu_new, gelu_pytorch_tanh{})", word,
                            family.rotary ? ", silu" : ""));
}

void check_architecture(const JsonObject& config, const Family& family) {
  const auto position = config.text("position_embedding_type", family.position_type);
  if (position != family.position_type)
    config.refuse("position_embedding_type",
                  fmt::format("'{}' is not supported (known: {})", position, family.position_type));
  refuse_if_set(config, "is_decoder", "an encoder is needed");
  refuse_if_set(config, "add_cross_attention", "an encoder is needed");
  refuse_quantized(config);
}

void read_shape(const JsonObject& config, const Family& family, const ShapeKeys& keys, EncoderConfig& e) {
  e.hidden = config.integer(keys.hidden, 1, kMaxWidth, 768);
  e.layers = config.integer(keys.layers, 1, kMaxLayers, family.layers);
  e.heads = config.integer(keys.heads, 1, kMaxWidth, 12);
  check_heads(config, e.hidden, e.heads);
  if (family.rotary && e.hidden / e.heads % 2 != 0)
    config.refuse(keys.heads,
                  fmt::format("rotary embeddings need heads of an even width, got {}", e.hidden / e.heads));
  e.intermediate = config.integer(keys.intermediate, 1, kMaxWidth, family.intermediate);
  e.vocabulary = config.integer("vocab_size", 1, kMaxVocabulary, family.vocabulary);
  e.max_positions = config.integer(keys.positions, 1, kMaxPositions, family.positions);
  if (family.token_types)
    e.type_vocabulary = config.integer("type_vocab_size", family.least_types, kMaxWidth, family.types);
  if (family.distances) {
    // transformers counts 32, whatever is said here.
    e.distance_classes = config.integer("relative_attention_num_buckets", 1, kMaxWidth, 32);
    if (e.distance_classes != 32) config.wrong("relative_attention_num_buckets", "32");
  }
  if (!family.padded_positions) return;
  e.padding_id = config.integer("pad_token_id", 0, e.vocabulary - 1, 1);
  if (e.max_positions <= e.padding_id + 1)
    config.refuse("max_position_embeddings", fmt::format("{} positions leave none behind pad_token_id = {}",
                                                         e.max_positions, e.padding_id));
}

/// What a decoder has in common with encoders; Decoder reads the rest for itself.
void read_decoder(const fs::path& folder, EncoderConfig& e) {
  const DecoderConfig d = read_decoder_config(folder, LookAhead::allowed);
  e.decoder = true;
  e.hidden = d.hidden;
  e.layers = d.layers;
  e.heads = d.heads;
  e.intermediate = d.intermediate;
  e.vocabulary = d.vocabulary;
  e.max_positions = d.max_positions;
}

/// Of one type of layer, or of all: an object of rope_parameters.
RopeConfig read_rotation(const JsonObject& rope, double theta) {
  const auto kind = rope.text("rope_type", "default");
  if (kind != "default")
    rope.refuse("rope_type", fmt::format("'{}' is not supported in an encoder (known: default)", kind));
  return {.theta = rope.number("rope_theta", 0, theta)};
}

constexpr const char *kFull = "full_attention", *kSliding = "sliding_attention";

/// Layers with a window between those that see all: layer_types, or each third without one.
std::vector<std::int64_t> read_windows(const JsonObject& config, std::int64_t layers) {
  // transformers: a row sees those at most half of it away.
  const std::int64_t window = config.integer("local_attention", 1, kMaxPositions, 128) / 2 + 1;
  std::vector<std::string> types = config.texts("layer_types");
  const std::int64_t every = config.integer("global_attn_every_n_layers", 1, kMaxLayers, 3);
  for (std::int64_t i = 0; types.empty() || std::ssize(types) < layers; ++i) {
    if (i > 0 && config.has("layer_types"))
      config.refuse("layer_types", fmt::format("{} types for {} layers", i, layers));
    types.emplace_back(i % every == 0 ? kFull : kSliding);
  }
  std::vector<std::int64_t> windows;
  for (const std::string& type : types) {
    if (type != kFull && type != kSliding)
      config.refuse("layer_types",
                    fmt::format("'{}' is not supported (known: {}, {})", type, kFull, kSliding));
    windows.push_back(type == kFull ? 0 : window);
  }
  return windows;
}

void read_modernbert(const JsonObject& config, EncoderConfig& e) {
  e.norms_in_front = e.gated = true;
  e.norm_bias = config.boolean("norm_bias", false);
  e.linear_bias = e.inner_bias = config.boolean("attention_bias", false);
  if (config.boolean("mlp_bias", false) != e.linear_bias)
    config.refuse("mlp_bias",
                  "biases of attention and of the feed-forward layers, or neither, are supported");
  e.windows = read_windows(config, e.layers);
  if (config.has("rope_scaling"))
    config.refuse("rope_scaling", "positions as they were trained are supported");
  const JsonObject by_type = config.object("rope_parameters");
  e.rope = read_rotation(by_type.object(kFull), config.number("global_rope_theta", 0, 160000.0));
  e.window_rope = read_rotation(by_type.object(kSliding), config.number("local_rope_theta", 0, 10000.0));
}

/// In the form of transformers, or of its authors, whose program has biases where nothing is said.
void read_nomic(const JsonObject& config, bool by_its_authors, EncoderConfig& e) {
  e.gated = true;
  e.linear_bias = e.inner_bias = false;
  for (const char* key : {"qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"})
    if (config.boolean(key, by_its_authors)) config.wrong(key, "false");
  for (const char* key : {"prenorm", "parallel_block", "use_rms_norm", "causal", "rotary_emb_interleaved"})
    refuse_if_set(config, key, "the published models of this family have it not");
  for (const char* key : {"rotary_scaling_factor", "rotary_emb_scale_base"})
    if (config.has(key)) config.refuse(key, "positions as they were trained are supported");
  if (config.number("rotary_emb_fraction", 0, 1.0) != 1.0) config.wrong("rotary_emb_fraction", "1");
  e.rope = read_rotation(config.object("rope_parameters"), config.number("rotary_emb_base", 0, 1000.0));
}

/// A context that was stretched by `factor`: theta grows by it, and all frequencies are divided by a root of
/// it (https://kexue.fm/archives/9706, equation 6).
RopeConfig stretched(const JsonObject& config, RopeConfig rope, double factor, std::int64_t head_dim) {
  if (factor <= 1) return rope;
  if (!std::isfinite(rope.theta * factor))
    config.refuse("rope_theta", fmt::format("{} times a factor of {} is no number", rope.theta, factor));
  rope.kind = RopeKind::linear;
  rope.theta *= factor;
  rope.factor = std::pow(factor, 2.0 / static_cast<double>(head_dim));
  return rope;
}

/// rope_theta and rope_scaling as the authors of GTE wrote them, or rope_parameters as transformers does.
RopeConfig read_gte_rotation(const JsonObject& config, const EncoderConfig& e) {
  const JsonObject rope = config.object(config.has("rope_scaling") ? "rope_scaling" : "rope_parameters");
  const char* key = rope.has("rope_type") ? "rope_type" : "type";
  const std::string kind = rope.text(key, "default");
  const double usual = e.family == "gte" ? 160000.0 : 10000.0;
  RopeConfig found{.theta = rope.number("rope_theta", 0, config.number("rope_theta", 0, usual))};
  if (kind == "default") return found;
  if (kind != "ntk" && kind != "linear")
    rope.refuse(key, fmt::format("'{}' is not supported in this family (known: default, linear, ntk)", kind));
  if (rope.has("mixed_b"))
    rope.refuse("mixed_b", "frequencies that are stretched each by a factor of its own are not supported");
  const double factor = rope.number("factor", 0);
  if (kind == "ntk") return stretched(config, found, factor, e.hidden / e.heads);
  found.kind = RopeKind::linear;
  found.factor = factor;
  return found;
}

/// GTE 1.5: norms behind, gates, and biases but in front of the activation.
void read_gte(const JsonObject& config, EncoderConfig& e) {
  e.gated = true;
  e.inner_bias = false;
  for (const char* key : {"logn_attention_scale", "logn_attention_clip1"})
    refuse_if_set(config, key, "scores of attention that depend on the length are not computed");
  if (config.text("layer_norm_type", "layer_norm") != "layer_norm")
    config.wrong("layer_norm_type", "'layer_norm'");
  if (!config.boolean("pack_qkv", true))
    config.refuse("pack_qkv", "the layers for q, k and v are read from one tensor (pack_qkv: true)");
  if (config.has("head_dim") && config.integer("head_dim", 1, kMaxWidth) != e.hidden / e.heads)
    config.wrong("head_dim", std::to_string(e.hidden / e.heads));
  e.rope = read_gte_rotation(config, e);
}

void read_encoder(const JsonObject& config, EncoderConfig& e) {
  const Family& family = family_named(config, e.family);
  const bool by_its_authors = e.family == "nomic_bert" && config.has("n_embd");
  const ShapeKeys& keys = by_its_authors ? kNomicKeys : family.keys;
  check_architecture(config, family);
  read_shape(config, family, keys, e);
  e.activation = read_activation(config, family, keys);
  e.norm_eps = config.number(keys.norm_eps, 0, family.norm_eps);
  if (e.family == "modernbert") read_modernbert(config, e);
  if (e.family == "nomic_bert") read_nomic(config, by_its_authors, e);
  if (e.family == "new" || e.family == "gte") read_gte(config, e);
}

void check_dense(const EncoderConfig& e) {
  std::int64_t width = e.hidden;
  for (const DenseConfig& dense : e.dense) {
    if (dense.inputs != width)
      fail_data("{}: in_features: expected {}, the width of what comes before it, got {}",
                (dense.folder / "config.json").string(), width, dense.inputs);
    width = dense.outputs;
  }
}

}  // namespace

bool is_encoder_family(std::string_view name) {
  return find_family(name) != nullptr;
}

EncoderConfig read_encoder_config(const fs::path& folder) {
  require_model_folder(folder);
  const fs::path file = folder / "config.json";
  const auto json = JsonObject::read(file);
  const JsonObject config(json, file.string());
  EncoderConfig e;
  e.family = family_of(config);
  if (is_decoder_family(e.family)) {
    read_decoder(folder, e);
  } else {
    read_encoder(config, e);
  }
  e.dense = read_sentence_modules(folder).dense;
  check_dense(e);
  read_text_settings(folder, e);
  return e;
}

}  // namespace rocket
