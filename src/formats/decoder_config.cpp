#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "formats/model_config.h"
#include "formats/model_folder.h"
#include "formats/model_json.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxTokenId = INT32_MAX;

/// Whether a family's linear layers have biases: never, always, or as its switch in config.json says.
enum class Bias { never, always, as_set };

enum class Window {
  none,
  by_type,  // sliding_window, in the layers that layer_types names, or in all
  by_layer  // use_sliding_window, and then layer_types or all layers from max_window_layers on
};

/// What sets a family apart. All of them have RMS norms, SiLU gates, rotary embeddings and Llama's tensor
/// names; numbers are the defaults of its configuration class in transformers.
struct Family {
  const char* name;
  const char* architecture;
  Bias qkv_bias, o_bias, mlp_bias;
  bool qk_norm;
  Window window;
  bool whole_heads;       // hidden is a multiple of heads, even where head_dim is given
  std::int64_t head_dim;  // 0: hidden / heads
  std::int64_t kv_heads;  // 0: as many as heads
  std::int64_t intermediate, vocabulary, max_positions;
  std::optional<std::int64_t> eos;
};

constexpr std::array<Family, 5> kFamilies{{
    {"llama", "LlamaForCausalLM", Bias::as_set, Bias::as_set, Bias::as_set, false, Window::none, true, 0, 0,
     11008, 32000, 2048, 2},
    {"mistral", "MistralForCausalLM", Bias::never, Bias::never, Bias::never, false, Window::by_type, false, 0,
     8, 14336, 32000, 131072, 2},
    {"ministral", "MinistralForCausalLM", Bias::never, Bias::never, Bias::never, false, Window::by_type,
     false, 0, 8, 14336, 32000, 131072, 2},
    {"qwen2",
     "Qwen2ForCausalLM",
     Bias::always,
     Bias::never,
     Bias::never,
     false,
     Window::by_layer,
     false,
     0,
     32,
     22016,
     151936,
     32768,
     {}},
    {"qwen3",
     "Qwen3ForCausalLM",
     Bias::as_set,
     Bias::as_set,
     Bias::never,
     true,
     Window::by_layer,
     false,
     128,
     32,
     22016,
     151936,
     32768,
     {}},
}};

/// Why some well-known families are refused.
constexpr std::array<std::array<const char*, 2>, 8> kReasons{{
    {"bert", "it is an encoder"},
    {"gemma", "it scales embeddings and adds one to the weights of its norms"},
    {"gemma2", "it caps the scores of attention and the logits (soft-capping) and norms each block twice"},
    {"gemma3_text", "it norms each block twice and has two rotary embeddings"},
    {"mixtral", "its feed-forward layers are mixtures of experts themselves"},
    {"qwen2_moe", "its feed-forward layers are mixtures of experts themselves"},
    {"qwen3_moe", "its feed-forward layers are mixtures of experts themselves"},
    {"phi3", "its linear layers are fused and its rotary embedding is longrope"},
}};

const Family& family_named(const JsonObject& config, const std::string& name) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.name == name) return family;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.name);
  }
  const auto* reason = std::ranges::find(kReasons, name, [](const auto& entry) { return entry[0]; });
  config.refuse("model_type", fmt::format("a base of family '{}' is not supported{}{} (known: {})", name,
                                          reason == kReasons.end() ? "" : ": ",
                                          reason == kReasons.end() ? "" : (*reason)[1], known));
}

/// The class of a family's layers without a head: LlamaModel of LlamaForCausalLM.
std::string headless(std::string_view architecture) {
  return fmt::format("{}Model", architecture.substr(0, architecture.find("ForCausalLM")));
}

void check_family(const JsonObject& config, const Family& family) {
  const auto architectures = config.texts("architectures");
  if (!architectures.empty() && architectures.front() != family.architecture &&
      architectures.front() != headless(family.architecture))
    config.refuse("architectures", fmt::format("'{}' is not supported (known: {})", architectures.front(),
                                               family.architecture));
  if (const auto act = config.text("hidden_act", "silu"); act != "silu" && act != "swish")
    config.refuse("hidden_act", fmt::format("'{}' is not supported (known: silu)", act));
  refuse_quantized(config);
}

void read_shape(const JsonObject& config, const Family& family, DecoderConfig& d) {
  d.hidden = config.integer("hidden_size", 1, kMaxWidth, 4096);
  d.layers = config.integer("num_hidden_layers", 1, kMaxLayers, 32);
  d.heads = config.integer("num_attention_heads", 1, kMaxWidth, 32);
  // An explicit null means as many as heads.
  const bool own_default = family.kv_heads > 0 && !config.value().contains("num_key_value_heads");
  d.kv_heads = config.integer("num_key_value_heads", 1, kMaxWidth, own_default ? family.kv_heads : d.heads);
  d.intermediate = config.integer("intermediate_size", 1, kMaxWidth, family.intermediate);
  d.vocabulary = config.integer("vocab_size", 1, kMaxVocabulary, family.vocabulary);
  d.max_positions = config.integer("max_position_embeddings", 1, kMaxPositions, family.max_positions);
  if (family.whole_heads || (family.head_dim == 0 && !config.has("head_dim")))
    check_heads(config, d.hidden, d.heads);
  if (d.heads % d.kv_heads != 0)
    config.refuse("num_key_value_heads",
                  fmt::format("num_attention_heads = {} is no multiple of {}", d.heads, d.kv_heads));
  d.head_dim =
      config.integer("head_dim", 2, kMaxWidth, family.head_dim > 0 ? family.head_dim : d.hidden / d.heads);
  if (d.head_dim % 2 != 0)
    config.refuse("head_dim", fmt::format("rotary embeddings need an even number, got {}", d.head_dim));
  if (d.heads * d.head_dim > kMaxWidth)
    config.refuse("head_dim",
                  fmt::format("{} heads of {} are wider than {}", d.heads, d.head_dim, kMaxWidth));
}

void read_biases(const JsonObject& config, const Family& family, DecoderConfig& d) {
  const bool attention = config.boolean("attention_bias", family.qkv_bias == Bias::always);
  const bool mlp = config.boolean("mlp_bias", false);
  const auto has = [&](Bias bias, bool set) { return bias == Bias::always || (bias == Bias::as_set && set); };
  d.qkv_bias = has(family.qkv_bias, attention);
  d.o_bias = has(family.o_bias, attention);
  d.mlp_bias = has(family.mlp_bias, mlp);
  d.qkv_bias_may_lack = d.qkv_bias && !attention;
  if (attention && !d.qkv_bias)
    config.refuse("attention_bias",
                  fmt::format("true contradicts family '{}', whose layers for q, k and v have not a bias",
                              family.name));
  if (d.mlp_bias != mlp)
    config.refuse(
        "mlp_bias",
        fmt::format("true contradicts family '{}', whose feed-forward layers have no bias", family.name));
}

constexpr const char* kFull = "full_attention";
constexpr const char* kSliding = "sliding_attention";

/// layer_types, one for each layer; absent: none.
std::vector<std::string> read_layer_types(const JsonObject& config, const DecoderConfig& d) {
  const auto types = config.texts("layer_types");
  if (!config.has("layer_types")) return types;
  if (static_cast<std::int64_t>(types.size()) != d.layers)
    config.refuse("layer_types",
                  fmt::format("{} entries for num_hidden_layers = {}", types.size(), d.layers));
  for (const std::string& type : types)
    if (type != kFull && type != kSliding)
      config.refuse("layer_types",
                    fmt::format("'{}' is not supported (known: {}, {})", type, kFull, kSliding));
  return types;
}

/// The window of layers that have one; 0: none, because the file says so.
std::int64_t read_window(const JsonObject& config, const Family& family) {
  if (family.window == Window::by_layer && !config.boolean("use_sliding_window", false)) return 0;
  const bool none = config.value().contains("sliding_window") && !config.has("sliding_window");
  return none ? 0 : config.integer("sliding_window", 1, kMaxPositions, 4096);
}

void check_layer_types(const JsonObject& config, const std::vector<std::string>& types, std::int64_t window) {
  if (window == 0 && std::ranges::find(types, kSliding) != types.end())
    config.refuse("layer_types",
                  fmt::format("'{}', but there is no window (use_sliding_window, sliding_window)", kSliding));
}

void read_windows(const JsonObject& config, const Family& family, DecoderConfig& d) {
  const std::int64_t window = family.window == Window::none ? 0 : read_window(config, family);
  const auto types = read_layer_types(config, d);
  check_layer_types(config, types, window);
  const bool by_layer = family.window == Window::by_layer;
  const std::int64_t first = by_layer ? config.integer("max_window_layers", 0, INT64_MAX, 28) : 0;
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const bool slides = types.empty() ? i >= first : types[static_cast<std::size_t>(i)] == kSliding;
    d.windows.push_back(slides ? window : 0);
  }
}

constexpr std::array<std::pair<const char*, RopeKind>, 6> kRopes{{{"default", RopeKind::plain},
                                                                  {"linear", RopeKind::linear},
                                                                  {"dynamic", RopeKind::dynamic},
                                                                  {"llama3", RopeKind::llama3},
                                                                  {"yarn", RopeKind::yarn},
                                                                  {"longrope", RopeKind::longrope}}};

/// Where the rotary settings stand: the old `rope_scaling` wins over `rope_parameters`, as in transformers.
JsonObject rope_of(const JsonObject& config) {
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (const auto* found = config.find(key); found && !(found->is_object() && found->empty()))
      return config.object(key);
  return config.object("rope_parameters");
}

}  // namespace

std::string name_of(RopeKind kind) {
  return std::ranges::find(kRopes, kind, [](const auto& entry) { return entry.second; })->first;
}

namespace {

RopeKind read_rope_kind(const JsonObject& rope) {
  const char* key = rope.has("rope_type") ? "rope_type" : "type";
  const std::string type = rope.text(key, "default");
  std::string known;
  for (const auto& [name, kind] : kRopes) {
    if (type == name) return kind;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  rope.refuse(key, fmt::format("rotary embedding '{}' is not supported (known: {})", type, known));
}

/// A key beside the rotary settings wins over one among them, as in transformers.
std::int64_t read_original_positions(const JsonObject& config, const JsonObject& rope,
                                     std::int64_t positions) {
  const char* key = "original_max_position_embeddings";
  return config.integer(key, 1, kMaxPositions, rope.integer(key, 1, kMaxPositions, positions));
}

void read_llama3(const JsonObject& rope, RopeConfig& r) {
  r.low_freq_factor = rope.number("low_freq_factor", 0);
  r.high_freq_factor = rope.number("high_freq_factor", 0);
  if (r.high_freq_factor <= r.low_freq_factor)
    rope.refuse("high_freq_factor", fmt::format("expected a number above low_freq_factor = {}, got {}",
                                                r.low_freq_factor, r.high_freq_factor));
}

double mscale(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

double ratio_of_lengths(std::int64_t positions, const RopeConfig& r) {
  return static_cast<double>(positions) / static_cast<double>(r.original_positions);
}

/// Of yarn, where transformers takes zero for absent.
double number_unless_zero(const JsonObject& rope, const char* key, double fallback) {
  const auto* found = rope.find(key);
  return found && found->is_number() && found->get<double>() == 0 ? fallback : rope.number(key, 0, fallback);
}

void read_yarn(const JsonObject& rope, std::int64_t positions, RopeConfig& r) {
  // An explicit null stands for the ratio of the lengths.
  const bool ratio = rope.value().contains("factor") && !rope.has("factor");
  r.factor = ratio ? ratio_of_lengths(positions, r) : rope.number("factor", 0);
  if (r.theta <= 1) rope.refuse("rope_theta", fmt::format("yarn needs a number above 1, got {}", r.theta));
  r.beta_fast = number_unless_zero(rope, "beta_fast", 32.0);
  r.beta_slow = number_unless_zero(rope, "beta_slow", 1.0);
  r.truncate = rope.boolean("truncate", true);
  const double scale = number_unless_zero(rope, "mscale", 0),
               all_dim = number_unless_zero(rope, "mscale_all_dim", 0);
  const bool both = scale > 0 && all_dim > 0;
  const double usual = both ? mscale(r.factor, scale) / mscale(r.factor, all_dim) : mscale(r.factor, 1);
  r.attention_factor = rope.number("attention_factor", 0, usual);
}

std::vector<double> read_pair_factors(const JsonObject& rope, const char* key, std::int64_t head_dim) {
  std::vector<double> factors = rope.numbers(key, 0);
  if (static_cast<std::int64_t>(factors.size()) != head_dim / 2)
    rope.refuse(key, fmt::format("expected a number for each of {} pairs of a head, got {}", head_dim / 2,
                                 factors.size()));
  return factors;
}

void read_longrope(const JsonObject& rope, const DecoderConfig& d, RopeConfig& r) {
  r.factor = rope.number("factor", 0, ratio_of_lengths(d.max_positions, r));
  r.short_factors = read_pair_factors(rope, "short_factor", d.head_dim);
  r.long_factors = read_pair_factors(rope, "long_factor", d.head_dim);
  const auto length = static_cast<double>(r.original_positions);
  if (r.factor > 1 && length < 2)
    rope.refuse("original_max_position_embeddings", "longrope with a factor above 1 needs 2 or more");
  r.attention_factor = rope.number(
      "attention_factor", 0, r.factor <= 1 ? 1.0 : std::sqrt(1 + std::log(r.factor) / std::log(length)));
}

/// transformers turns whole heads in these families whatever this factor says, and does not compute other
/// embeddings than the default with it.
void check_partial_rotation(const JsonObject& config, const JsonObject& rope, DecoderConfig& d) {
  const JsonObject& where = rope.has("partial_rotary_factor") ? rope : config;
  const double factor = where.number("partial_rotary_factor", 0, 1.0);
  if (factor == 1.0) return;
  if (d.rope.kind != RopeKind::plain)
    where.refuse(
        "partial_rotary_factor",
        fmt::format("only 1 is supported with rotary embedding '{}', got {}", name_of(d.rope.kind), factor));
  d.notes.push_back(fmt::format(
      "{}: partial_rotary_factor is {}, but whole heads are turned in family '{}', as in transformers",
      config.place(), factor, d.family));
}

void check_rope(const JsonObject& rope) {
  for (const char* type : {kFull, kSliding})
    if (rope.has(type))
      rope.refuse(type, "one rotary embedding for all layers is supported, not one by type");
}

void read_rope(const JsonObject& config, DecoderConfig& d) {
  const JsonObject rope = rope_of(config);
  RopeConfig& r = d.rope;
  check_rope(rope);
  r.kind = read_rope_kind(rope);
  check_partial_rotation(config, rope, d);
  r.theta = rope.number("rope_theta", 0, config.number("rope_theta", 0, 10000.0));
  if (r.kind == RopeKind::plain) return;
  if (r.kind == RopeKind::dynamic) {
    r.original_positions = d.max_positions;
  } else if (r.kind != RopeKind::linear) {
    r.original_positions = read_original_positions(config, rope, d.max_positions);
  }
  if (r.kind == RopeKind::yarn) return read_yarn(rope, d.max_positions, r);
  if (r.kind == RopeKind::longrope) return read_longrope(rope, d, r);
  r.factor = rope.number("factor", 0);
  if (r.kind == RopeKind::llama3) read_llama3(rope, r);
  if (r.kind != RopeKind::dynamic) return;
  if (d.head_dim == 2) config.refuse("head_dim", "dynamic rotary embeddings need more than 2");
  // Here max_position_embeddings is the length before the model was stretched.
  const double stretched = std::floor(static_cast<double>(d.max_positions) * std::max(1.0, r.factor));
  d.max_positions = static_cast<std::int64_t>(std::min(stretched, static_cast<double>(kMaxPositions)));
}

/// The ends of a sequence that can be generated.
std::vector<std::int64_t> read_eos_ids(const JsonObject& file, DecoderConfig& d) {
  auto ids = file.integers("eos_token_id", -kMaxTokenId, kMaxTokenId);
  std::erase_if(ids, [&](std::int64_t id) {
    const bool never = id < 0 || id >= d.vocabulary;
    if (never)
      d.notes.push_back(fmt::format("{}: eos_token_id {} is not used: it lies outside the vocabulary of {}",
                                    file.place(), id, d.vocabulary));
    return never;
  });
  return ids;
}

void read_eos(const JsonObject& config, const Family& family, const fs::path& generation, DecoderConfig& d) {
  d.eos_ids = read_eos_ids(config, d);
  if (family.eos && !config.value().contains("eos_token_id") && d.vocabulary > *family.eos)
    d.eos_ids = {*family.eos};
  if (!is_there(generation)) return;
  const auto json = JsonObject::read(generation);
  d.generation_eos_ids = read_eos_ids(JsonObject(json, generation.string()), d);
}

}  // namespace

bool is_decoder_family(std::string_view name) {
  return std::ranges::any_of(kFamilies, [&](const Family& family) { return family.name == name; });
}

DecoderConfig read_decoder_config(const fs::path& folder) {
  require_model_folder(folder);
  const fs::path file = folder / "config.json";
  const auto json = JsonObject::read(file);
  const JsonObject config(json, file.string());
  DecoderConfig d;
  d.family = family_of(config);
  const Family& family = family_named(config, d.family);
  check_family(config, family);
  read_shape(config, family, d);
  read_biases(config, family, d);
  d.qk_norm = family.qk_norm;
  read_windows(config, family, d);
  d.norm_eps = config.number("rms_norm_eps", 0, 1e-6);
  read_rope(config, d);
  d.tied_head = config.boolean("tie_word_embeddings", false);
  read_eos(config, family, folder / "generation_config.json", d);
  return d;
}

}  // namespace rocket
