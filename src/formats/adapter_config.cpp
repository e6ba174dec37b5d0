#include "formats/adapter_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "formats/json_reader.h"

namespace rocket {
namespace {

using Json = JsonObject::Json;

constexpr std::int64_t kMaxRank = 1 << 20;
constexpr std::int64_t kMaxLayer = 1 << 20;
// The defaults of PEFT's LoraConfig, and of PEFT for the target_modules of a Llama and of a GPT-NeoX.
constexpr std::int64_t kDefaultRank = 8;
constexpr double kDefaultAlpha = 8;
const std::vector<std::string> kDefaultTargets = {"q_proj", "v_proj", "query_key_value"};

/// Read below, and checked there.
const std::set<std::string> kComputed = {
    "alpha_pattern",  "base_model_name_or_path", "bias",      "exclude_modules", "init_lora_weights",
    "layers_pattern", "layers_to_transform",     "r",         "lora_alpha",      "peft_type",
    "rank_pattern",   "target_modules",          "use_rslora"};

/// Say nothing about the function that the adapter computes. (The modules of modules_to_save lie beside the
/// LoRA, where a tensor that is not the base's own is refused by name; qalora_group_size acts with use_qalora
/// only, megatron_core with megatron_config only; the configurations of an initialisation are ignored by PEFT
/// unless init_lora_weights names it; ensure_weight_tying concerns embeddings and output layer;
/// fan_in_fan_out PEFT switches off, with a warning, for the linear layers of all the families here.)
const std::set<std::string> kMetadata = {
    "auto_mapping",      "corda_config",   "ensure_weight_tying", "eva_config",
    "fan_in_fan_out",    "inference_mode", "loftq_config",        "lora_dropout",
    "lora_ga_config",    "megatron_core",  "modules_to_save",     "peft_version",
    "qalora_group_size", "revision",       "runtime_config",      "task_type"};

/// Initialisations of A and B that leave the base as it is (LoraLayer.update_layer of PEFT).
const std::set<std::string> kPlainInits = {"gaussian", "eva", "orthogonal", "mica"};

const std::map<std::string, std::string> kReasons = {
    {"use_dora", "DoRA rescales the weights of the base, for which a mixture of experts is not defined"},
    {"lora_bias", "a bias inside the LoRA is not computed"},
    {"layer_replication", "it changes the layers of the base"},
    {"trainable_token_indices", "it changes token embeddings"},
    {"target_parameters", "only linear layers are adapted"},
    {"alora_invocation_tokens", "an activated LoRA depends on the tokens in front"},
    {"use_qalora", "QALoRA pools the inputs"},
    {"use_bdlora", "block-diagonal LoRA is not computed"},
    {"megatron_config", "the layers of Megatron are not computed"}};

bool is_off(const Json& value) {
  return value.is_null() || value == false || value == "" || (value.is_structured() && value.empty());
}

/// Those that PEFT reads in any case of letters.
bool is_plain_init(std::string name) {
  if (kPlainInits.contains(name)) return true;
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name == "gaussian" || name == "mica";
}

void refuse_what_is_not_computed(const JsonObject& config) {
  for (const auto& [key, value] : config.value().items()) {
    if (kComputed.contains(key) || kMetadata.contains(key) || is_off(value)) continue;
    const auto reason = kReasons.find(key);
    config.refuse(key,
                  reason != kReasons.end()
                      ? fmt::format("{} is not supported: {}", shown(value), reason->second)
                      : fmt::format("{}: this key is not known, and its value may matter", shown(value)));
  }
}

/// Folders of other libraries have a file of this name, too.
void check_is_peft(const JsonObject& config) {
  if (config.has("peft_type")) return;
  if (config.has("lora_parameters") || config.has("fine_tune_type"))
    config.refuse(
        "peft_type",
        "missing: this is an adapter of mlx-lm, which is not read. Save it in the form of PEFT: lora_a "
        "and lora_b transposed as lora_A and lora_B, r = rank, lora_alpha = scale * rank");
  config.refuse("peft_type", "missing: this is no adapter of PEFT");
}

void check_kind(const JsonObject& config) {
  check_is_peft(config);
  if (const auto type = config.text("peft_type"); type != "LORA")
    config.refuse("peft_type", fmt::format("'{}' is not supported (known: LORA)", type));
  // The base's own biases, retrained, would lie beside the tensors of the LoRA, where they are refused by
  // name.
  if (const auto bias = config.text("bias", "none"); bias != "none" && bias != "all" && bias != "lora_only")
    config.refuse("bias", fmt::format("'{}' is not supported (known: none, all, lora_only)", bias));
  const Json* init = config.find("init_lora_weights");
  if (init && !init->is_boolean() && !(init->is_string() && is_plain_init(init->get<std::string>())))
    config.refuse(
        "init_lora_weights",
        fmt::format("{} is not supported (known: true, false, {}): others change the weights of the "
                    "base; convert it to a plain LoRA with PEFT",
                    shown(*init), fmt::join(kPlainInits, ", ")));
}

/// PEFT takes its defaults where these are absent, and stops with a TypeError where they are null.
void refuse_null_numbers(const JsonObject& config) {
  for (const char* key : {"r", "lora_alpha"})
    if (config.value().contains(key) && !config.has(key))
      config.refuse(key, "null is no number, and PEFT refuses it too: write the value of the training");
}

/// A list of texts, or a single one (`single` becomes true).
std::vector<std::string> one_or_many(const JsonObject& config, const std::string& key, bool& single) {
  const Json* found = config.find(key);
  single = found && found->is_string();
  if (single) return {found->get<std::string>()};
  if (found && !found->is_array()) config.wrong(key, "a list of strings or one string");
  return config.texts(key);
}

template <class Value, class Read>
std::vector<PatternEntry<Value>> read_pattern(const JsonObject& config, const std::string& key, Read read) {
  std::vector<PatternEntry<Value>> entries;
  const JsonObject pattern = config.object(key);
  const std::string place = fmt::format("{}: key '{}'", config.place(), key);
  for (const auto& [name, unused] : pattern.value().items())
    entries.push_back({name, Regex(fmt::format("(.*\\.)?({})$", name), place), read(pattern, name)});
  return entries;
}

void read_layers(const JsonObject& config, AdapterConfig& adapter) {
  adapter.layers_to_transform = config.integers("layers_to_transform", 0, kMaxLayer);
  bool single = false;
  const auto patterns = one_or_many(config, "layers_pattern", single);
  const std::string place = fmt::format("{}: key 'layers_pattern'", config.place());
  for (const std::string& pattern : patterns)
    if (!pattern.empty())
      adapter.layer_of_module.emplace_back(fmt::format(R"((?:^|.*?\.){}\.(?<idx>\d+)\.)", pattern), place);
  if (!adapter.layers_to_transform.empty() && adapter.target_is_regex)
    config.refuse("layers_to_transform", "it needs target_modules to be a list");
  if (!adapter.layer_of_module.empty() && adapter.layers_to_transform.empty())
    config.refuse("layers_pattern", "it needs layers_to_transform");
  if (adapter.layer_of_module.empty())
    adapter.layer_of_module.emplace_back(R"(.*?\.[^.]*\.(?<idx>\d+)\.)", place);
}

void read_modules(const JsonObject& config, AdapterConfig& adapter) {
  adapter.target_modules = one_or_many(config, "target_modules", adapter.target_is_regex);
  if (!config.has("target_modules")) adapter.target_modules = kDefaultTargets;
  bool single = false;
  adapter.exclude_modules = one_or_many(config, "exclude_modules", single);
  if (single) {
    const std::string whole = fmt::format("(?:{})\\z", adapter.exclude_modules.front());
    adapter.exclude_pattern.emplace(whole, fmt::format("{}: key 'exclude_modules'", config.place()));
    adapter.exclude_modules.clear();
  }
}

template <class Value>
Value patterned(const std::vector<PatternEntry<Value>>& pattern, const std::string& module, Value otherwise) {
  const auto it = std::find_if(pattern.begin(), pattern.end(),
                               [&](const auto& entry) { return entry.names.matches(module); });
  return it == pattern.end() ? otherwise : it->value;
}

bool names(const std::vector<std::string>& list, const std::string& module) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& name) { return module == name || module.ends_with("." + name); });
}

}  // namespace

std::int64_t AdapterConfig::rank_of(const std::string& module) const {
  return patterned(rank_pattern, module, r);
}

double AdapterConfig::scale_of(const std::string& module) const {
  const auto rank = static_cast<double>(rank_of(module));
  return patterned(alpha_pattern, module, alpha) / (rslora ? std::sqrt(rank) : rank);
}

bool AdapterConfig::leaves_out(const std::string& module) const {
  if (names(exclude_modules, module)) return true;
  if (exclude_pattern && exclude_pattern->matches(module)) return true;
  const bool named_in_full =
      std::find(target_modules.begin(), target_modules.end(), module) != target_modules.end();
  if (layers_to_transform.empty() || named_in_full) return false;
  for (const Regex& pattern : layer_of_module) {
    const auto groups = pattern.match(module);
    if (groups.empty()) continue;
    const std::string layer(groups.back());
    return std::none_of(layers_to_transform.begin(), layers_to_transform.end(),
                        [&](std::int64_t wanted) { return std::to_string(wanted) == layer; });
  }
  return true;
}

AdapterConfig read_adapter_config(const std::filesystem::path& folder) {
  const auto file = folder / "adapter_config.json";
  const Json json = JsonObject::read(file);
  const JsonObject config(json, file.string());
  check_kind(config);
  refuse_what_is_not_computed(config);
  refuse_null_numbers(config);
  constexpr double kAny = -std::numeric_limits<double>::infinity();
  AdapterConfig adapter;
  adapter.r = config.integer("r", 1, kMaxRank, kDefaultRank);
  adapter.alpha = config.number("lora_alpha", kAny, kDefaultAlpha);
  adapter.rslora = config.boolean("use_rslora", false);
  adapter.base_model = config.text("base_model_name_or_path", "");
  read_modules(config, adapter);
  read_layers(config, adapter);
  adapter.rank_pattern = read_pattern<std::int64_t>(
      config, "rank_pattern",
      [](const JsonObject& p, const std::string& k) { return p.integer(k, 1, kMaxRank); });
  adapter.alpha_pattern = read_pattern<double>(
      config, "alpha_pattern", [](const JsonObject& p, const std::string& k) { return p.number(k, kAny); });
  return adapter;
}

}  // namespace rocket
