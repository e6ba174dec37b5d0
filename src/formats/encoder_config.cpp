#include <algorithm>
#include <array>
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
  std::int64_t default_layers;
};

constexpr ShapeKeys kUsualKeys{"hidden_size",       "num_hidden_layers", "num_attention_heads",
                               "intermediate_size", "hidden_act",        12};
constexpr ShapeKeys kDistilKeys{"dim", "n_layers", "n_heads", "hidden_dim", "activation", 6};

/// What the encoders of one model_type have in common, with transformers' defaults.
struct Family {
  std::string_view name;
  std::int64_t vocabulary;
  bool padded_positions = false;  // they begin behind pad_token_id
  bool token_types = true;
  bool distances = false;  // attention looks at the distance of two tokens
  const ShapeKeys& keys = kUsualKeys;
};

constexpr std::array<Family, 6> kFamilies{
    {{.name = "bert", .vocabulary = 30522},
     {.name = "xlm-roberta", .vocabulary = 30522, .padded_positions = true},
     {.name = "roberta", .vocabulary = 50265, .padded_positions = true},
     {.name = "camembert", .vocabulary = 30522, .padded_positions = true},
     {.name = "mpnet",
      .vocabulary = 30527,
      .padded_positions = true,
      .token_types = false,
      .distances = true},
     {.name = "distilbert", .vocabulary = 30522, .token_types = false, .keys = kDistilKeys}}};

/// Why some well-known families are refused.
constexpr std::array<std::array<const char*, 2>, 7> kReasons{{
    {"albert", "its layers share their weights, and its embeddings are narrower than they"},
    {"deberta", "its attention takes contents and positions apart"},
    {"deberta-v2", "its attention takes contents and positions apart"},
    {"new", "its positions are rotary embeddings, and its feed-forward layers are gated"},
    {"nomic_bert", "its positions are rotary embeddings, and its feed-forward layers are gated"},
    {"modernbert", "its positions are rotary embeddings, and its feed-forward layers are gated"},
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

void check_architecture(const JsonObject& config, const ShapeKeys& keys) {
  const auto position = config.text("position_embedding_type", "absolute");
  if (position != "absolute")
    config.refuse("position_embedding_type",
                  fmt::format("'{}' is not supported (known: absolute)", position));
  const auto act = config.text(keys.activation, "gelu");
  if (act != "gelu" && act != "gelu_new" && act != "gelu_pytorch_tanh")
    config.refuse(keys.activation,
                  fmt::format("'{}' is not supported (known: gelu, gelu_new, gelu_pytorch_tanh)", act));
  refuse_if_set(config, "is_decoder", "an encoder is needed");
  refuse_if_set(config, "add_cross_attention", "an encoder is needed");
  refuse_quantized(config);
}

void read_shape(const JsonObject& config, const Family& family, EncoderConfig& e) {
  e.hidden = config.integer(family.keys.hidden, 1, kMaxWidth, 768);
  e.layers = config.integer(family.keys.layers, 1, kMaxLayers, family.keys.default_layers);
  e.heads = config.integer(family.keys.heads, 1, kMaxWidth, 12);
  check_heads(config, e.hidden, e.heads);
  e.intermediate = config.integer(family.keys.intermediate, 1, kMaxWidth, 3072);
  e.vocabulary = config.integer("vocab_size", 1, kMaxVocabulary, family.vocabulary);
  e.max_positions = config.integer("max_position_embeddings", 1, kMaxPositions, 512);
  if (family.token_types) e.type_vocabulary = config.integer("type_vocab_size", 1, kMaxWidth, 2);
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

void read_encoder(const JsonObject& config, EncoderConfig& e) {
  const Family& family = family_named(config, e.family);
  check_architecture(config, family.keys);
  read_shape(config, family, e);
  e.norm_eps = config.number("layer_norm_eps", 0, 1e-12);
  e.activation = config.text(family.keys.activation, "gelu");
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
