#include "formats/sentence_modules.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "formats/model_json.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kKnown{"Transformer", "Pooling", "Dense", "Normalize"};

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
  if (std::ranges::find(kKnown, m.kind) == kKnown.end())
    module.refuse("type", fmt::format("'{}' is not supported (known: {})", module.text("type"),
                                      fmt::join(kKnown, ", ")));
  const fs::path path(m.path);
  if (m.path.find('\0') != std::string::npos || path.is_absolute() ||
      std::find(path.begin(), path.end(), "..") != path.end())
    module.refuse("path", "expected a folder inside the model folder");
  return m;
}

/// What follows the pooled vector's Dense modules is a length of 1, which rocket's vectors have anyway.
void check_order(const std::vector<Module>& modules, const fs::path& file) {
  std::size_t at = 0;
  const auto is = [&](const char* kind) { return at < modules.size() && modules[at].kind == kind; };
  const auto refuse = [&] {
    fail_data("{}: expected Transformer, Pooling, any number of Dense and perhaps Normalize, in this order",
              file.string());
  };
  if (!is("Transformer")) refuse();
  ++at;
  if (is("Pooling")) {
    ++at;
    while (is("Dense")) ++at;
    if (is("Normalize")) ++at;
  }
  if (at != modules.size()) refuse();
}

/// Empty if there is no modules.json.
std::vector<Module> read_modules(const fs::path& folder) {
  const fs::path file = folder / "modules.json";
  if (!is_there(file)) return {};
  const auto json = parse_ordered_json(read_file(file), file.string());
  if (!json.is_array()) fail_data("{}: expected a list of modules, got {}", file.string(), shown(json));
  std::vector<Module> modules;
  for (const auto& entry : json) modules.push_back(module_of(entry, file.string()));
  check_order(modules, file);
  if (!modules.front().path.empty() && modules.front().path != ".")
    fail_data("{}: the transformer lies in '{}'; name that folder as the encoder and set encoder.pooling",
              file.string(), modules.front().path);
  return modules;
}

/// Modules may pass other things than the sentence's vector to each other.
void check_features(const JsonObject& config) {
  for (const char* key : {"module_input_name", "module_output_name"})
    if (const auto name = config.text(key, "sentence_embedding"); name != "sentence_embedding")
      config.refuse(key, fmt::format("'{}' is not supported (known: sentence_embedding)", name));
}

DenseConfig read_dense(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const auto json = JsonObject::read(file);
  const JsonObject config(json, file.string());
  DenseConfig dense{folder};
  dense.inputs = config.integer("in_features", 1, kMaxWidth);
  dense.outputs = config.integer("out_features", 1, kMaxWidth);
  dense.bias = config.boolean("bias", true);
  refuse_if_set(config, "use_residual", "a Dense module that adds its input");
  check_features(config);
  const std::string activation = config.text("activation_function", "torch.nn.modules.activation.Tanh");
  dense.tanh = activation == "torch.nn.modules.activation.Tanh";
  if (!dense.tanh && activation != "torch.nn.modules.linear.Identity")
    config.refuse("activation_function",
                  fmt::format("'{}' is not supported (known: torch.nn.modules.activation.Tanh, "
                              "torch.nn.modules.linear.Identity)",
                              activation));
  return dense;
}

}  // namespace

SentenceModules read_sentence_modules(const fs::path& folder) {
  SentenceModules read;
  for (const Module& module : read_modules(folder)) {
    if (module.kind == "Pooling") read.pooling = module.path;
    if (module.kind == "Dense") read.dense.push_back(read_dense(folder / module.path));
  }
  return read;
}

namespace {

/// In the order of Pooling.
constexpr std::array kPoolings{Pooling::cls,       Pooling::last,          Pooling::mean,
                               Pooling::mean_sqrt, Pooling::weighted_mean, Pooling::max};

std::optional<Pooling> find_pooling(const std::string& word) {
  const auto found = std::ranges::find(pooling_words(), word);
  if (found == pooling_words().end()) return std::nullopt;
  return kPoolings[static_cast<std::size_t>(found - pooling_words().begin())];
}

Pooling pooling_named(const std::string& word, const JsonObject& config, const std::string& key) {
  if (const auto pooling = find_pooling(word)) return *pooling;
  config.refuse(
      key, fmt::format("pooling '{}' is not supported (known: {})", word, fmt::join(pooling_words(), ", ")));
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
       {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
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

/// By name; those that sentence-transformers always has are empty unless the file says more.
std::map<std::string, std::string> prompts_of(const JsonObject& config) {
  std::map<std::string, std::string> prompts{{"query", ""}, {"document", ""}};
  const JsonObject given = config.object("prompts");
  for (const auto& [name, text] : given.value().items()) prompts[name] = given.text(name, "");
  return prompts;
}

}  // namespace

std::string read_prompt(const fs::path& folder, const std::string& choice) {
  if (choice == "none") return "";
  const fs::path file = folder / "config_sentence_transformers.json";
  const auto json = is_there(file) ? JsonObject::read(file) : JsonObject::Json::object();
  const JsonObject config(json, file.string());
  const std::string name = choice == "auto" ? config.text("default_prompt_name", "") : choice;
  if (name.empty()) return "";
  const auto prompts = prompts_of(config);
  if (const auto found = prompts.find(name); found != prompts.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, text] : prompts) names.push_back(known);
  if (choice == "auto")
    config.refuse("default_prompt_name",
                  fmt::format("'{}' is none of the prompts {}", name, fmt::join(names, ", ")));
  fail_config("encoder.prompt: {} has no prompt '{}'; it has: {}", file.string(), name,
              fmt::join(names, ", "));
}

const std::vector<std::string>& pooling_words() {
  static const std::vector<std::string> words{"cls",          "lasttoken", "mean", "mean_sqrt_len_tokens",
                                              "weightedmean", "max"};
  return words;
}

const std::string& word_of(Pooling pooling) {
  return pooling_words()[static_cast<std::size_t>(pooling)];
}

Pooling read_pooling(const fs::path& folder, const std::string& choice) {
  if (const auto pooling = find_pooling(choice)) return *pooling;
  if (choice != "auto")
    fail_config("encoder.pooling: expected auto or one of {}, got '{}'", fmt::join(pooling_words(), ", "),
                choice);
  const fs::path file = folder / read_sentence_modules(folder).pooling / "config.json";
  if (!is_there(file))
    fail_config("encoder.pooling: auto, but there is no {} that says which; say {}", file.string(),
                fmt::join(pooling_words(), ", "));
  const auto json = JsonObject::read(file);
  const JsonObject config(json, file.string());
  if (!config.boolean("include_prompt", true))
    config.refuse("include_prompt", "false is not supported: the prefix is a part of the text");
  return config.has("pooling_mode") ? new_form(config) : old_form(config);
}

}  // namespace rocket
