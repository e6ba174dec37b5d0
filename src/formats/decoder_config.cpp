#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "formats/model_config.h"
#include "formats/model_folder.h"
#include "formats/model_json.h"
#include "formats/text_tower.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxTokenId = INT32_MAX;

/// Whether a family's linear layers have biases: never, always, or as its switch in config.json says, which
/// is off or on where it is absent.
enum class Bias { never, always, as_set, as_set_or_on };

enum class Window {
  none,
  by_type,         // sliding_window, in the layers that layer_types names, or in all
  in_all,          // sliding_window, whatever layer_types says
  by_layer,        // use_sliding_window, and then layer_types or all layers from max_window_layers on
  without_rope,    // use_sliding_window, and then layer_types or all layers that turn nothing
  but_each_second  // sliding_window, in the layers that layer_types names, or in all but each second or
                   // sliding_window_pattern-th
};

enum class Rope {
  whole_heads,  // partial_rotary_factor is not heeded
  part,         // it is
  by_type       // layers with a window have their own base
};

/// What sets a family apart; numbers are the defaults of its configuration class in transformers.
struct Family {
  const char* name;
  const char* architecture;
  Bias qkv_bias = Bias::never, o_bias = Bias::never, mlp_bias = Bias::never;
  bool qk_norm = false, qk_norm_of_all_heads = false;
  Window window = Window::none;
  std::optional<std::int64_t> sliding_window;  // where config.json names none
  std::int64_t window_pattern = 0;             // of but_each_second, where config.json names none
  std::int64_t first_window = 28;              // of by_layer likewise: max_window_layers
  bool whole_heads = false;                    // hidden is a multiple of heads, even where head_dim is given
  std::int64_t hidden = 4096, layers = 32, heads = 32;
  std::int64_t head_dim = 0;  // 0: hidden / heads
  std::int64_t kv_heads = 0;  // 0: as many as heads
  std::int64_t intermediate, vocabulary, max_positions;
  std::optional<std::int64_t> eos;
  NormKind norm = NormKind::rms;
  double norm_eps = 1e-6;
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
  bool gated = true;
  Rope rope = Rope::whole_heads;
  const char *theta_key = "rope_theta", *part_key = "partial_rotary_factor";
  double theta = 10000, part = 1;
  std::optional<std::int64_t> original_positions;
  bool tied_head = false;
  Joined joined = Joined::none;
  DecoderNames names = {};
};

constexpr DecoderNames kPostNorms{.before_attention = "",
                                  .after_attention = "post_attention_layernorm",
                                  .before_mlp = "",
                                  .after_mlp = "post_feedforward_layernorm"};
constexpr DecoderNames kNormsAround{.after_attention = "post_attention_layernorm",
                                    .before_mlp = "pre_feedforward_layernorm",
                                    .after_mlp = "post_feedforward_layernorm"};
constexpr DecoderNames kPhi3Names{.qkv = {"self_attn.qkv_proj"}, .gate_up = {"mlp.gate_up_proj"}};
constexpr DecoderNames kNeoxNames{.model = "gpt_neox.",
                                  .embedding = "embed_in",
                                  .norm = "final_layer_norm",
                                  .head = "embed_out",
                                  .qkv = {"attention.query_key_value"},
                                  .o = "attention.dense",
                                  .gate_up = {"mlp.dense_h_to_4h"},
                                  .down = "mlp.dense_4h_to_h"};

constexpr std::array<Family, 14> kFamilies{{
    {.name = "llama",
     .architecture = "LlamaForCausalLM",
     .qkv_bias = Bias::as_set,
     .o_bias = Bias::as_set,
     .mlp_bias = Bias::as_set,
     .whole_heads = true,
     .intermediate = 11008,
     .vocabulary = 32000,
     .max_positions = 2048,
     .eos = 2},
    {.name = "mistral",
     .architecture = "MistralForCausalLM",
     .window = Window::by_type,
     .sliding_window = 4096,
     .kv_heads = 8,
     .intermediate = 14336,
     .vocabulary = 32000,
     .max_positions = 131072,
     .eos = 2},
    {.name = "ministral",
     .architecture = "MinistralForCausalLM",
     .window = Window::by_type,
     .sliding_window = 4096,
     .kv_heads = 8,
     .intermediate = 14336,
     .vocabulary = 32000,
     .max_positions = 131072,
     .eos = 2},
    {.name = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .qkv_bias = Bias::always,
     .window = Window::by_layer,
     .sliding_window = 4096,
     .kv_heads = 32,
     .intermediate = 22016,
     .vocabulary = 151936,
     .max_positions = 32768},
    {.name = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .qkv_bias = Bias::as_set,
     .o_bias = Bias::as_set,
     .qk_norm = true,
     .window = Window::by_layer,
     .sliding_window = 4096,
     .head_dim = 128,
     .kv_heads = 32,
     .intermediate = 22016,
     .vocabulary = 151936,
     .max_positions = 32768},
    {.name = "gemma2",
     .architecture = "Gemma2ForCausalLM",
     .qkv_bias = Bias::as_set,
     .o_bias = Bias::as_set,
     .window = Window::but_each_second,
     .sliding_window = 4096,
     .whole_heads = true,
     .hidden = 2304,
     .layers = 26,
     .heads = 8,
     .head_dim = 256,
     .kv_heads = 4,
     .intermediate = 9216,
     .vocabulary = 256000,
     .max_positions = 8192,
     .eos = 1,
     .norm = NormKind::rms_above_one,
     .activation_key = "hidden_activation",
     .activation = "gelu_pytorch_tanh",
     .tied_head = true,
     .names = kNormsAround},
    {.name = "gemma3_text",
     .architecture = "Gemma3ForCausalLM",
     .qkv_bias = Bias::as_set,
     .o_bias = Bias::as_set,
     .qk_norm = true,
     .window = Window::but_each_second,
     .sliding_window = 4096,
     .window_pattern = 6,
     .whole_heads = true,
     .hidden = 2304,
     .layers = 26,
     .heads = 8,
     .head_dim = 256,
     .kv_heads = 4,
     .intermediate = 9216,
     .vocabulary = 262208,
     .max_positions = 131072,
     .eos = 1,
     .norm = NormKind::rms_above_one,
     .activation_key = "hidden_activation",
     .activation = "gelu_pytorch_tanh",
     .rope = Rope::by_type,
     .theta = 1e6,
     .tied_head = true,
     .names = kNormsAround},
    {.name = "phi3",
     .architecture = "Phi3ForCausalLM",
     .window = Window::in_all,
     .whole_heads = true,
     .hidden = 3072,
     .intermediate = 8192,
     .vocabulary = 32064,
     .max_positions = 4096,
     .eos = 32000,
     .norm_eps = 1e-5,
     .rope = Rope::part,
     .original_positions = 4096,
     .joined = Joined::in_turn,
     .names = kPhi3Names},
    {.name = "olmo2",
     .architecture = "Olmo2ForCausalLM",
     .qkv_bias = Bias::as_set,
     .o_bias = Bias::as_set,
     .qk_norm = true,
     .qk_norm_of_all_heads = true,
     .whole_heads = true,
     .intermediate = 11008,
     .vocabulary = 50304,
     .max_positions = 2048,
     .eos = 50279,
     .norm = NormKind::rms_one_rounding,
     .norm_eps = 1e-5,
     .names = kPostNorms},
    {.name = "granite",
     .architecture = "GraniteForCausalLM",
     .qkv_bias = Bias::as_set,
     .o_bias = Bias::as_set,
     .mlp_bias = Bias::as_set,
     .whole_heads = true,
     .intermediate = 11008,
     .vocabulary = 32000,
     .max_positions = 2048,
     .eos = 2},
    {.name = "smollm3",
     .architecture = "SmolLM3ForCausalLM",
     .qkv_bias = Bias::as_set,
     .o_bias = Bias::as_set,
     .mlp_bias = Bias::as_set,
     .window = Window::without_rope,
     .whole_heads = true,
     .hidden = 2048,
     .layers = 36,
     .heads = 16,
     .kv_heads = 4,
     .intermediate = 11008,
     .vocabulary = 128256,
     .max_positions = 32768,
     .eos = 128001,
     .theta = 2e6,
     .tied_head = true},
    {.name = "gpt_neox",
     .architecture = "GPTNeoXForCausalLM",
     .qkv_bias = Bias::as_set_or_on,
     .o_bias = Bias::as_set_or_on,
     .mlp_bias = Bias::always,
     .whole_heads = true,
     .hidden = 6144,
     .layers = 44,
     .heads = 64,
     .intermediate = 24576,
     .vocabulary = 50432,
     .max_positions = 2048,
     .eos = 2,
     .norm = NormKind::layer,
     .norm_eps = 1e-5,
     .activation = "gelu",
     .gated = false,
     .rope = Rope::part,
     .theta_key = "rotary_emb_base",
     .part_key = "rotary_pct",
     .part = 0.25,
     .joined = Joined::by_head,
     .names = kNeoxNames},
    // Of Qwen2-VL and Qwen2.5-VL; then of Qwen3-VL.
    {.name = "qwen2_vl_text",
     .architecture = "Qwen2VLForConditionalGeneration",
     .qkv_bias = Bias::always,
     .window = Window::by_layer,
     .sliding_window = 4096,
     .first_window = 80,
     .hidden = 8192,
     .layers = 80,
     .heads = 64,
     .kv_heads = 8,
     .intermediate = 29568,
     .vocabulary = 152064,
     .max_positions = 32768,
     .eos = 151645,
     .norm_eps = 1e-5,
     .theta = 1e6},
    {.name = "qwen3_vl_text",
     .architecture = "Qwen3VLForConditionalGeneration",
     .qkv_bias = Bias::as_set,
     .o_bias = Bias::as_set,
     .qk_norm = true,
     .head_dim = 128,
     .kv_heads = 32,
     .intermediate = 22016,
     .vocabulary = 151936,
     .max_positions = 128000,
     .theta = 500000},
}};

/// Why some well-known families are refused.
constexpr const char* kMixture = "its feed-forward layers are mixtures of experts themselves";
constexpr const char* kOtherImages =
    "it reads images, too; of such models the language model of gemma3, llava, llava_next, mistral3, "
    "qwen2_vl, qwen2_5_vl and qwen3_vl is computed";
constexpr const char* kLinearAttention = "most of its layers are not attention, but recurrent";
constexpr std::array<std::array<const char*, 2>, 30> kReasons{{
    {"bert", "it is an encoder"},
    {"gemma", "its activation is not said in the same way by all its files; Gemma 2 and 3 are computed"},
    {"gemma3n", "its layers share keys and values, and read further embeddings"},
    {"mixtral", kMixture},
    {"qwen2_moe", kMixture},
    {"qwen3_moe", kMixture},
    {"olmoe", kMixture},
    {"phimoe", kMixture},
    {"granitemoe", kMixture},
    {"granitemoeshared", kMixture},
    {"deepseek_v2", kMixture},
    {"deepseek_v3", kMixture},
    {"gpt_oss", kMixture},
    {"llama4_text", kMixture},
    {"granitemoehybrid", kLinearAttention},
    {"qwen3_next", kLinearAttention},
    {"qwen3_5_text", kLinearAttention},
    {"falcon_mamba", "it has no attention"},
    {"mamba", "it has no attention"},
    {"qwen3_5", kLinearAttention},
    {"qwen3_5_moe", kMixture},
    {"qwen3_vl_moe", kMixture},
    {"mllama", "some of its layers attend to an image"},
    {"mllama_text_model", "some of its layers attend to an image"},
    {"llama4", kMixture},
    {"ministral3", "its queries grow with their position (llama_4_scaling_beta)"},
    {"idefics3", kOtherImages},
    {"smolvlm", kOtherImages},
    {"paligemma", "rows of its prompt look ahead"},
    {"olmo", "its norms have no weights"},
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

/// Of a family whose class is not named so: Gemma3TextModel.
bool names_headless(const Family& family, std::string_view name) {
  return name == headless(family.architecture) ||
         (std::string_view(family.name) == "gemma3_text" && name == "Gemma3TextModel");
}

/// EmbeddingGemma's.
bool read_look_ahead(const JsonObject& config, const Family& family, LookAhead look_ahead) {
  if (look_ahead == LookAhead::allowed && std::string_view(family.name) == "gemma3_text")
    return config.boolean("use_bidirectional_attention", false);
  refuse_if_set(config, "use_bidirectional_attention", "a decoder's rows see what stands before them");
  return false;
}

void check_family(const JsonObject& config, const Family& family) {
  const auto architectures = config.texts("architectures");
  if (!architectures.empty() && architectures.front() != family.architecture &&
      !names_headless(family, architectures.front()))
    config.refuse("architectures", fmt::format("'{}' is not supported (known: {})", architectures.front(),
                                               family.architecture));
  refuse_quantized(config);
}

constexpr std::array<std::pair<const char*, Activation>, 6> kActivations{
    {{"silu", Activation::silu},
     {"swish", Activation::silu},
     {"gelu", Activation::gelu},
     {"gelu_pytorch_tanh", Activation::gelu_tanh},
     {"gelu_new", Activation::gelu_tanh},
     {"gelu_fast", Activation::gelu_tanh}}};

Activation read_activation(const JsonObject& config, const Family& family) {
  const std::string name = config.text(family.activation_key, family.activation);
  const auto* found = std::ranges::find(kActivations, name, [](const auto& entry) { return entry.first; });
  if (found == kActivations.end())
    config.refuse(family.activation_key,
                  fmt::format("'{}' is not supported (known: silu, gelu, gelu_pytorch_tanh)", name));
  return found->second;
}

void read_shape(const JsonObject& config, const Family& family, DecoderConfig& d) {
  d.hidden = config.integer("hidden_size", 1, kMaxWidth, family.hidden);
  d.layers = config.integer("num_hidden_layers", 1, kMaxLayers, family.layers);
  d.heads = config.integer("num_attention_heads", 1, kMaxWidth, family.heads);
  // An explicit null means as many as heads.
  const bool own_default = family.kv_heads > 0 && !config.value().contains("num_key_value_heads");
  d.kv_heads = config.integer("num_key_value_heads", 1, kMaxWidth, own_default ? family.kv_heads : d.heads);
  if (family.joined == Joined::by_head) d.kv_heads = d.heads;  // q, k and v of each head lie side by side
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
  const bool usual = family.qkv_bias == Bias::always || family.qkv_bias == Bias::as_set_or_on;
  const bool attention = config.boolean("attention_bias", usual);
  const bool mlp = config.boolean("mlp_bias", family.mlp_bias == Bias::always);
  const auto has = [&](Bias bias, bool set) { return bias == Bias::always || (bias != Bias::never && set); };
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
  const bool switched = family.window == Window::by_layer || family.window == Window::without_rope;
  if (switched && !config.boolean("use_sliding_window", false)) return 0;
  const bool none = config.value().contains("sliding_window") && !config.has("sliding_window");
  if (none || (!config.has("sliding_window") && !family.sliding_window)) return 0;
  return config.integer("sliding_window", 1, kMaxPositions, family.sliding_window);
}

void check_layer_types(const JsonObject& config, const std::vector<std::string>& types, std::int64_t window) {
  if (window == 0 && std::ranges::find(types, kSliding) != types.end())
    config.refuse("layer_types",
                  fmt::format("'{}', but there is no window (use_sliding_window, sliding_window)", kSliding));
}

void read_windows(const JsonObject& config, const Family& family, DecoderConfig& d) {
  const std::int64_t window = family.window == Window::none ? 0 : read_window(config, family);
  const auto types =
      family.window == Window::in_all ? std::vector<std::string>() : read_layer_types(config, d);
  check_layer_types(config, types, window);
  const std::int64_t first = family.window == Window::by_layer
                                 ? config.integer("max_window_layers", 0, INT64_MAX, family.first_window)
                                 : 0;
  const std::int64_t pattern = family.window_pattern > 0 ? config.integer("sliding_window_pattern", 1,
                                                                          kMaxLayers, family.window_pattern)
                                                         : 2;
  const auto usually = [&](std::int64_t layer) {
    if (family.window == Window::without_rope) return d.rope_of(layer) == nullptr;
    return family.window == Window::but_each_second ? (layer + 1) % pattern != 0 : layer >= first;
  };
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const bool slides = types.empty() ? usually(i) : types[static_cast<std::size_t>(i)] == kSliding;
    // transformers counts the rows of both sides together.
    d.windows.push_back(!slides ? 0 : d.looks_ahead ? window / 2 + 1 : window);
  }
}

/// SmolLM3's: no_rope_layers has a 1 for each layer that turns, else each no_rope_layer_interval-th does not.
void read_layers_without_rope(const JsonObject& config, DecoderConfig& d) {
  const auto turning = config.integers("no_rope_layers", 0, 1);
  const std::int64_t interval = config.integer("no_rope_layer_interval", 1, kMaxLayers, 4);
  if (!turning.empty() && static_cast<std::int64_t>(turning.size()) < d.layers)
    config.refuse("no_rope_layers",
                  fmt::format("{} entries for num_hidden_layers = {}", turning.size(), d.layers));
  for (std::int64_t i = 0; i < d.layers; ++i) {
    const bool turns = turning.empty() ? (i + 1) % interval != 0 : turning[static_cast<std::size_t>(i)] == 1;
    d.without_rope.push_back(turns ? 0 : 1);
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

RopeKind read_rope_kind(const JsonObject& rope, const Family& family) {
  const char* key = rope.has("rope_type") ? "rope_type" : "type";
  const std::string type = rope.text(key, "default");
  if (family.joined == Joined::in_turn && (type == "su" || type == "yarn"))
    return RopeKind::longrope;  // as Phi-3 called it first
  std::string known;
  for (const auto& [name, kind] : kRopes) {
    if (type == name) return kind;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  rope.refuse(key, fmt::format("rotary embedding '{}' is not supported (known: {})", type, known));
}

/// A key beside the rotary settings wins over one among them, as in transformers.
std::int64_t read_original_positions(const JsonObject& config, const JsonObject& rope, const Family& family,
                                     std::int64_t positions) {
  const char* key = "original_max_position_embeddings";
  if (family.original_positions) return config.integer(key, 1, kMaxPositions, family.original_positions);
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

std::vector<double> read_pair_factors(const JsonObject& rope, const char* key, std::int64_t width) {
  std::vector<double> factors = rope.numbers(key, 0);
  if (static_cast<std::int64_t>(factors.size()) != width / 2)
    rope.refuse(key, fmt::format("expected a number for each of {} pairs of a head, got {}", width / 2,
                                 factors.size()));
  return factors;
}

void read_longrope(const JsonObject& rope, const DecoderConfig& d, RopeConfig& r) {
  r.factor = rope.number("factor", 0, ratio_of_lengths(d.max_positions, r));
  r.short_factors = read_pair_factors(rope, "short_factor", r.width);
  r.long_factors = read_pair_factors(rope, "long_factor", r.width);
  const auto length = static_cast<double>(r.original_positions);
  if (r.factor > 1 && length < 2)
    rope.refuse("original_max_position_embeddings", "longrope with a factor above 1 needs 2 or more");
  r.attention_factor = rope.number(
      "attention_factor", 0, r.factor <= 1 ? 1.0 : std::sqrt(1 + std::log(r.factor) / std::log(length)));
}

/// transformers turns whole heads in these families whatever this factor says, and does not compute other
/// embeddings than the default with it.
void note_partial_rotation(const JsonObject& config, const JsonObject& rope, const RopeConfig& r,
                           DecoderConfig& d) {
  const JsonObject& where = rope.has("partial_rotary_factor") ? rope : config;
  const double factor = where.number("partial_rotary_factor", 0, 1.0);
  if (factor == 1.0) return;
  if (r.kind != RopeKind::plain)
    where.refuse(
        "partial_rotary_factor",
        fmt::format("only 1 is supported with rotary embedding '{}', got {}", name_of(r.kind), factor));
  d.notes.push_back(fmt::format(
      "{}: partial_rotary_factor is {}, but whole heads are turned in family '{}', as in transformers",
      config.place(), factor, d.family));
}

/// How many values of a head turn.
std::int64_t read_rotated_part(const JsonObject& config, const JsonObject& rope, const Family& family,
                               const RopeConfig& r, DecoderConfig& d) {
  if (family.rope != Rope::part) {
    note_partial_rotation(config, rope, r, d);
    return d.head_dim;
  }
  const bool inside = rope.has("partial_rotary_factor");
  const JsonObject& where = inside ? rope : config;
  const std::string key = inside ? "partial_rotary_factor" : family.part_key;
  const double factor = where.number(key, 0, family.part);
  const auto width = static_cast<std::int64_t>(static_cast<double>(d.head_dim) * std::min(factor, 2.0));
  if (width < 2 || width > d.head_dim || width % 2 != 0)
    where.refuse(key, fmt::format("an even number of a head's {} values is turned, got {} of them",
                                  d.head_dim, width));
  return width;
}

/// Here max_position_embeddings is the length before the model was stretched.
void stretch_positions(const JsonObject& config, const RopeConfig& r, DecoderConfig& d) {
  if (d.head_dim == 2) config.refuse("head_dim", "dynamic rotary embeddings need more than 2");
  const double stretched = std::floor(static_cast<double>(d.max_positions) * std::max(1.0, r.factor));
  d.max_positions = static_cast<std::int64_t>(std::min(stretched, static_cast<double>(kMaxPositions)));
}

/// `theta`: where `rope` has none.
RopeConfig read_one_rope(const JsonObject& config, const JsonObject& rope, const Family& family, double theta,
                         DecoderConfig& d) {
  RopeConfig r;
  r.kind = read_rope_kind(rope, family);
  r.width = read_rotated_part(config, rope, family, r, d);
  r.theta = rope.number("rope_theta", 0, theta);
  if (r.kind == RopeKind::plain) return r;
  if (r.kind == RopeKind::dynamic) {
    r.original_positions = d.max_positions;
  } else if (r.kind != RopeKind::linear) {
    r.original_positions = read_original_positions(config, rope, family, d.max_positions);
  }
  if (r.kind == RopeKind::yarn) {
    read_yarn(rope, d.max_positions, r);
  } else if (r.kind == RopeKind::longrope) {
    read_longrope(rope, d, r);
  } else {
    r.factor = rope.number("factor", 0);
  }
  if (r.kind == RopeKind::llama3) read_llama3(rope, r);
  if (r.kind == RopeKind::dynamic) stretch_positions(config, r, d);
  return r;
}

/// Gemma 3's: rope_parameters has one for each type of layer; of the old form rope_scaling is that of layers
/// without a window.
void read_ropes_by_type(const JsonObject& config, const Family& family, DecoderConfig& d) {
  const JsonObject by_type = config.object("rope_parameters");
  const auto part = [&](const char* type) { return by_type.object(type); };
  const double theta = config.number("rope_theta", 0, family.theta),
               local = config.number("rope_local_base_freq", 0, 10000.0);
  const bool old = config.has("rope_scaling");
  d.rope = read_one_rope(config, old ? config.object("rope_scaling") : part(kFull), family, theta, d);
  d.window_rope = read_one_rope(config, part(kSliding), family, local, d);
}

void read_rope(const JsonObject& config, const Family& family, DecoderConfig& d) {
  if (family.rope == Rope::by_type) return read_ropes_by_type(config, family, d);
  const JsonObject rope = rope_of(config);
  for (const char* type : {kFull, kSliding})
    if (rope.has(type))
      rope.refuse(type, "one rotary embedding for all layers is supported, not one by type");
  d.rope = read_one_rope(config, rope, family, config.number(family.theta_key, 0, family.theta), d);
}

/// A cap, where null means none.
double read_cap(const JsonObject& config, const char* key, double usual) {
  if (config.value().contains(key) && !config.has(key)) return 0;
  return usual > 0 || config.has(key) ? config.number(key, 0, usual) : 0;
}

/// What the families of Gemma do to scores, embeddings and logits.
void read_gemma(const JsonObject& config, DecoderConfig& d) {
  const bool second = d.family == "gemma2";
  d.embedding_scale = std::sqrt(static_cast<double>(d.hidden));
  d.attention_scale = 1 / std::sqrt(config.number("query_pre_attn_scalar", 1e-6, 256.0));
  d.logit_cap = read_cap(config, "final_logit_softcapping", second ? 30.0 : 0);
  d.attention_cap = read_cap(config, "attn_logit_softcapping", second ? 50.0 : 0);
  if (!second && d.attention_cap > 0)
    config.refuse("attn_logit_softcapping", "the attention of Gemma 3 has no cap, in transformers either");
}

void read_granite(const JsonObject& config, DecoderConfig& d) {
  d.embedding_scale = config.number("embedding_multiplier", 0, 1.0);
  d.attention_scale = config.number("attention_multiplier", 0, 1.0);
  d.residual_scale = config.number("residual_multiplier", 0, 1.0);
  d.logit_scale = 1 / config.number("logits_scaling", 1e-6, 1.0);
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

const RopeConfig* DecoderConfig::rope_of(std::int64_t layer) const {
  const auto i = static_cast<std::size_t>(layer);
  if (!without_rope.empty() && without_rope[i] != 0) return nullptr;
  return window_rope && windows[i] > 0 ? &*window_rope : &rope;
}

bool DecoderConfig::turns_by_length() const {
  return rope.turns_by_length() || (window_rope && window_rope->turns_by_length());
}

DecoderConfig read_decoder_config(const fs::path& folder, LookAhead look_ahead) {
  require_model_folder(folder);
  const fs::path file = folder / "config.json";
  const auto json = JsonObject::read(file);
  const JsonObject whole(json, file.string());
  const auto tower = text_tower_settings(whole);
  const JsonObject config(tower ? *tower : json, file.string(),
                          tower && whole.has("text_config") ? "text_config." : "");
  DecoderConfig d;
  d.family = family_of(config);
  const Family& family = family_named(config, d.family);
  check_family(config, family);
  d.looks_ahead = read_look_ahead(config, family, look_ahead);
  d.names = family.names;
  if (tower) {
    d.names.model = kTextTower;
    d.notes.push_back(
        fmt::format("{}: the model reads images, too; its language model alone is computed", file.string()));
  }
  d.joined = family.joined;
  d.norm = family.norm;
  d.gated = family.gated;
  d.activation = read_activation(config, family);
  read_shape(config, family, d);
  read_biases(config, family, d);
  d.qk_norm = family.qk_norm;
  d.qk_norm_of_all_heads = family.qk_norm_of_all_heads;
  if (family.window == Window::without_rope) read_layers_without_rope(config, d);
  read_windows(config, family, d);
  d.norm_eps =
      config.number(d.norm == NormKind::layer ? "layer_norm_eps" : "rms_norm_eps", 0, family.norm_eps);
  read_rope(config, family, d);
  if (d.family.starts_with("gemma")) read_gemma(config, d);
  if (d.family == "granite") read_granite(config, d);
  if (d.family == "gpt_neox") d.parallel = config.boolean("use_parallel_residual", true);
  if (d.family == "phi3" && d.rope.kind == RopeKind::longrope) d.reread_at = d.rope.original_positions;
  d.tied_head = config.boolean("tie_word_embeddings", family.tied_head);
  read_eos(config, family, folder / "generation_config.json", d);
  return d;
}

}  // namespace rocket
