#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/files.h"
#include "formats/model_config.h"
#include "formats/model_json.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

/// One of modules.json: "Transformer" and the folder that it lies in.
struct Module {
  std::string kind, path;
};

/// The class name of a module of sentence-transformers, under the old or the new name of its Python module.
std::string module_kind(const std::string& type) {
  const bool known = type.starts_with("sentence_transformers.");
  return known ? type.substr(type.rfind('.') + 1) : type;
}

Module module_of(const JsonObject::Json& entry, const std::string& place) {
  if (!entry.is_object()) fail_data("{}: expected a list of objects, got {}", place, shown(entry));
  const JsonObject module(entry, place);
  Module m{module_kind(module.text("type")), module.text("path", "")};
  if (m.kind != "Transformer" && m.kind != "Pooling" && m.kind != "Normalize")
    module.refuse("type", fmt::format("'{}' is not supported (known: Transformer, Pooling, Normalize)",
                                      module.text("type")));
  const fs::path path(m.path);
  if (m.path.find('\0') != std::string::npos || path.is_absolute() ||
      std::find(path.begin(), path.end(), "..") != path.end())
    module.refuse("path", "expected a folder inside the model folder");
  return m;
}

/// Empty if there is no modules.json.
std::vector<Module> read_modules(const fs::path& folder) {
  const fs::path file = folder / "modules.json";
  if (!is_there(file)) return {};
  const auto json = parse_ordered_json(read_file(file), file.string());
  if (!json.is_array()) fail_data("{}: expected a list of modules, got {}", file.string(), shown(json));
  std::vector<Module> modules;
  for (const auto& entry : json) modules.push_back(module_of(entry, file.string()));
  const auto at = [&](std::size_t i) { return i < modules.size() ? modules[i].kind : std::string(); };
  if (at(0) != "Transformer" || (modules.size() > 1 && at(1) != "Pooling") ||
      (modules.size() > 2 && at(2) != "Normalize") || modules.size() > 3)
    fail_data("{}: expected Transformer, Pooling and perhaps Normalize, in this order", file.string());
  if (!modules.front().path.empty() && modules.front().path != ".")
    fail_data("{}: the transformer lies in '{}'; name that folder as the encoder and set encoder.pooling",
              file.string(), modules.front().path);
  return modules;
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

/// sentence-transformers keeps the bound in its own file, since version 6 in the tokenizer's.
std::int64_t read_max_tokens(const fs::path& folder, std::int64_t positions) {
  const fs::path file = folder / "sentence_bert_config.json";
  if (!is_there(file)) return positions;
  const auto json = JsonObject::read(file);
  const JsonObject config(json, file.string());
  refuse_if_set(config, "do_lower_case", "lower-casing in front of the tokenizer");
  if (!config.has("max_seq_length")) return tokenizer_bound(folder, positions);
  return std::min(positions, config.integer("max_seq_length", 1, INT64_MAX));
}

void check_bert(const JsonObject& config) {
  const auto position = config.text("position_embedding_type", "absolute");
  if (position != "absolute")
    config.refuse("position_embedding_type",
                  fmt::format("'{}' is not supported (known: absolute)", position));
  const auto act = config.text("hidden_act", "gelu");
  if (act != "gelu" && act != "gelu_new" && act != "gelu_pytorch_tanh")
    config.refuse("hidden_act",
                  fmt::format("'{}' is not supported (known: gelu, gelu_new, gelu_pytorch_tanh)", act));
  refuse_if_set(config, "is_decoder", "an encoder is needed");
  refuse_if_set(config, "add_cross_attention", "an encoder is needed");
  refuse_quantized(config);
}

}  // namespace

EncoderConfig read_encoder_config(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const auto json = JsonObject::read(file);
  const JsonObject config(json, file.string());
  EncoderConfig e;
  e.family = family_of(config);
  if (e.family != "bert")
    config.refuse("model_type",
                  fmt::format("an encoder of family '{}' is not supported (known: bert)", e.family));
  check_bert(config);
  read_modules(folder);
  e.hidden = config.integer("hidden_size", 1, kMaxWidth, 768);
  e.layers = config.integer("num_hidden_layers", 1, kMaxLayers, 12);
  e.heads = config.integer("num_attention_heads", 1, kMaxWidth, 12);
  check_heads(config, e.hidden, e.heads);
  e.intermediate = config.integer("intermediate_size", 1, kMaxWidth, 3072);
  e.vocabulary = config.integer("vocab_size", 1, kMaxVocabulary, 30522);
  e.max_positions = config.integer("max_position_embeddings", 1, kMaxPositions, 512);
  e.type_vocabulary = config.integer("type_vocab_size", 1, kMaxWidth, 2);
  e.norm_eps = config.number("layer_norm_eps", 0, 1e-12);
  e.activation = config.text("hidden_act", "gelu");
  e.max_tokens = read_max_tokens(folder, e.max_positions);
  return e;
}

namespace {

Pooling pooling_named(const std::string& name, const JsonObject& config, const std::string& key) {
  if (name == "cls") return Pooling::cls;
  if (name == "mean") return Pooling::mean;
  config.refuse(key, fmt::format("pooling '{}' is not supported (known: cls, mean)", name));
}

/// {"pooling_mode": "mean"}; a list of several would concatenate them.
Pooling new_form(const JsonObject& config) {
  const auto* mode = config.find("pooling_mode");
  if (!mode->is_array()) return pooling_named(config.text("pooling_mode"), config, "pooling_mode");
  const auto modes = config.texts("pooling_mode");
  if (modes.size() != 1)
    config.refuse("pooling_mode", fmt::format("{} poolings side by side are not supported", modes.size()));
  return pooling_named(modes.front(), config, "pooling_mode");
}

/// {"pooling_mode_cls_token": true, ...}; none set means mean.
Pooling old_form(const JsonObject& config) {
  constexpr std::array<std::array<const char*, 2>, 6> kKeys{
      {{"pooling_mode_cls_token", "cls"},
       {"pooling_mode_mean_tokens", "mean"},
       {"pooling_mode_max_tokens", "max"},
       {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"},
       {"pooling_mode_weightedmean_tokens", "weightedmean"},
       {"pooling_mode_lasttoken", "lasttoken"}}};
  std::vector<std::array<const char*, 2>> set;
  for (const auto& key : kKeys)
    if (config.boolean(key[0], false)) set.push_back(key);
  if (set.empty()) return Pooling::mean;
  if (set.size() > 1)
    config.refuse(
        set[1][0],
        fmt::format("several poolings side by side are not supported, and {} is true as well", set[0][0]));
  return pooling_named(set[0][1], config, set[0][0]);
}

}  // namespace

Pooling read_pooling(const fs::path& folder, const std::string& choice) {
  if (choice == "cls") return Pooling::cls;
  if (choice == "mean") return Pooling::mean;
  if (choice != "auto") fail_config("encoder.pooling: expected auto, cls or mean, got '{}'", choice);
  const auto modules = read_modules(folder);
  const fs::path file = folder / (modules.size() > 1 ? modules[1].path : "1_Pooling") / "config.json";
  if (!is_there(file))
    fail_config("encoder.pooling: auto, but there is no {} that says which; say cls or mean", file.string());
  const auto json = JsonObject::read(file);
  const JsonObject config(json, file.string());
  return config.has("pooling_mode") ? new_form(config) : old_form(config);
}

}  // namespace rocket
