// Looking at a run directory, an adapter folder or a model folder.
#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "adapters/lone_adapter.h"
#include "base/error.h"
#include "base/output.h"
#include "formats/adapter_config.h"
#include "formats/adapter_tensors.h"
#include "formats/encoder_weights.h"
#include "formats/json_reader.h"
#include "formats/model_config.h"
#include "formats/model_folder.h"
#include "formats/tensors.h"
#include "jobs.h"
#include "model/encoder.h"
#include "pipeline/run_tables.h"
#include "pipeline/task_data.h"

namespace rocket {

namespace {

using nlohmann::ordered_json;

/// Runs `describe` on the object; an Error becomes the reason why rocket cannot use the folder. `describe`
/// may set "usable" itself: null where that cannot be told.
template <class F>
ordered_json judged(const std::string& kind, const fs::path& folder, F&& describe) {
  ordered_json object = {{"kind", kind}, {"folder", folder.string()}};
  try {
    describe(object);
    if (!object.contains("usable")) object["usable"] = true;
    if (!object.contains("reason")) object["reason"] = nullptr;
  } catch (const Error& e) {
    object["usable"] = false;
    object["reason"] = e.what();
  }
  return object;
}

/// With a base all that score checks; without one what the adapter's own files can tell.
void check_adapter(const fs::path& folder, const std::string& base_folder, ordered_json& object) {
  std::optional<Decoder> base;
  if (!base_folder.empty()) base.emplace(Decoder::load(base_folder, at::kFloat, at::Device(at::kMeta)));
  const auto weights = base ? base->files() : nullptr;
  const LoraFile file(folder, base ? base->modules() : modules_of_tensors(folder), weights.get());
  LoraAdapter adapter{file.name(), {}};
  for (const LoraFile::Weight& weight : file.weights())
    adapter.weights.push_back(file.read(weight, at::kFloat, at::kCPU));
  object["adapted_weights"] = adapter.weights.size();
  object["effect"] = adapter.has_effect();
  object["base"] = base ? ordered_json(base_folder) : ordered_json(nullptr);
  if (!file.wrapped_front().empty())
    object["names"] =
        fmt::format("'{}', which a wrapper put in front of all of them, is left out", file.wrapped_front());
  if (!adapter.has_effect())
    object["note"] = "it has no effect: its B A is zero in every layer (never trained, or lora_alpha is 0)";
  if (base) return file.check_copies();
  if (file.beside() == 0) return;
  object["usable"] = nullptr;
  object["reason"] = fmt::format(
      "{} tensors beside the LoRA must be equal to the base's: `rocket inspect {} --base DIR` compares them",
      file.beside(), folder.string());
}

void describe_adapter(const fs::path& folder, const std::string& base, ordered_json& object) {
  const AdapterConfig config = read_adapter_config(folder);
  object["base_model"] = config.base_model;
  object["lora_r"] = config.r;
  object["lora_alpha"] = config.alpha;
  object["rslora"] = config.rslora;
  object["scale"] = config.rslora ? config.alpha / std::sqrt(static_cast<double>(config.r))
                                  : config.alpha / static_cast<double>(config.r);
  object["target_modules"] = config.target_modules;
  const auto file = open_adapter_tensors(folder);
  std::int64_t parameters = 0;
  std::map<std::string, int> types;
  for (const StoredTensor& tensor : file->tensors()) {
    parameters += static_cast<std::int64_t>(tensor.bytes.size()) / size_of(tensor.dtype);
    ++types[name_of(tensor.dtype)];
  }
  object["parameters"] = parameters;
  object["tensor_types"] = types;
  check_adapter(folder, base, object);
}

/// The windows of the layers: none, one number where all layers have it, or a list with 0 for none.
ordered_json windows_of(const DecoderConfig& c) {
  const bool alike = std::ranges::adjacent_find(c.windows, std::not_equal_to<>()) == c.windows.end();
  if (!alike) return c.windows;
  return c.windows.front() > 0 ? ordered_json(c.windows.front()) : ordered_json(nullptr);
}

ordered_json rope_of(const RopeConfig& rope, std::int64_t head_dim) {
  ordered_json object = {{"type", name_of(rope.kind)}, {"theta", rope.theta}};
  if (rope.kind != RopeKind::plain) object["factor"] = rope.factor;
  if (rope.original_positions > 0) object["original_positions"] = rope.original_positions;
  if (rope.width < head_dim) object["width"] = rope.width;
  return object;
}

std::vector<std::string> biases_of(const DecoderConfig& c) {
  std::vector<std::string> linears;
  if (c.qkv_bias) linears = {"q", "k", "v"};
  if (c.o_bias) linears.push_back("o");
  if (c.mlp_bias && c.gated) linears.push_back("gate");
  if (c.mlp_bias) linears.insert(linears.end(), {"up", "down"});
  return linears;
}

/// What few families have; nothing of it where it changes nothing.
void describe_scales(const DecoderConfig& c, ordered_json& object) {
  const auto add = [&](const char* key, double value, double usual) {
    if (value != usual) object[key] = value;
  };
  add("embedding_scale", c.embedding_scale, 1);
  add("residual_scale", c.residual_scale, 1);
  add("attention_scale", c.attention_scale, 0);
  add("logit_scale", c.logit_scale, 1);
  add("attention_cap", c.attention_cap, 0);
  add("logit_cap", c.logit_cap, 0);
}

/// What decoders and encoders have alike.
template <class Config>
void describe_sizes(const Config& c, ordered_json& object) {
  object["family"] = c.family;
  object["hidden"] = c.hidden;
  object["layers"] = c.layers;
  object["heads"] = c.heads;
  object["intermediate"] = c.intermediate;
  object["vocabulary"] = c.vocabulary;
}

void describe_decoder(const fs::path& folder, ordered_json& object) {
  const DecoderConfig c = read_decoder_config(folder);
  describe_sizes(c, object);
  object["kv_heads"] = c.kv_heads;
  object["head_dim"] = c.head_dim;
  object["max_positions"] = c.max_positions;
  object["rope"] = rope_of(c.rope, c.head_dim);
  if (c.window_rope) object["window_rope"] = rope_of(*c.window_rope, c.head_dim);
  if (!c.without_rope.empty()) object["layers_without_rope"] = std::ranges::count(c.without_rope, 1);
  object["window"] = windows_of(c);
  object["qk_norm"] = c.qk_norm;
  describe_scales(c, object);
  object["tied_head"] = c.tied_head;
  object["parameters"] = ModelWeights(folder).parameters();
  const Decoder decoder =
      Decoder::load(folder, at::kFloat, at::Device(at::kMeta));  // looks through all weights
  object["biases"] = biases_of(decoder.config());
  RunConfig config;
  config.base.path = folder.string();
  const BaseText text(config);  // tokenizer, end of a sequence
}

void describe_encoder(const fs::path& folder, ordered_json& object) {
  const EncoderConfig c = read_encoder_config(folder);
  describe_sizes(c, object);
  object["max_tokens"] = c.max_tokens;
  object["dimension"] = c.dimension();
  const bool said = fs::exists(folder / "1_Pooling");
  const Pooling pooling = read_pooling(folder, said ? "auto" : "mean");
  object["pooling"] = !said ? "not said: set encoder.pooling" : word_of(pooling);
  object["parameters"] = EncoderWeights(folder).parameters();
  load_tokenizer(folder, c.lower_case);
  Encoder::load(folder, pooling, at::kFloat, at::Device(at::kMeta));  // looks through all weights
}

bool is_encoder(const fs::path& folder) {
  try {
    return is_encoder_family(JsonObject::read(folder / "config.json").value("model_type", "")) ||
           fs::exists(folder / "modules.json");
  } catch (const std::exception&) {
    return false;
  }
}

Shown shown(const Command& command) {
  const fs::path folder = command.target;
  const bool adapter = fs::exists(folder / "adapter_config.json"), model = fs::exists(folder / "config.json");
  if ((adapter || model) && !command.table.empty())
    fail(ExitCode::usage, "{} is no run directory: it has no table '{}'", command.target, command.table);
  if (adapter)
    return judged("adapter", folder, [&](ordered_json& o) { describe_adapter(folder, command.base, o); });
  if (model && is_encoder(folder))
    return judged("encoder", folder, [&](ordered_json& o) { describe_encoder(folder, o); });
  if (model) return judged("model", folder, [&](ordered_json& o) { describe_decoder(folder, o); });
  return run_table(RunDirectory(folder), command.table);
}

}  // namespace

void inspect(const Command& command) {
  const fs::path folder = command.target;
  if (!fs::is_directory(folder)) fail_config("{}: no such folder", command.target);
  const TableFormat format = table_format(command.format);
  const bool run = RunDirectory(folder).has_records();
  if (!run && !fs::exists(folder / "adapter_config.json") && !fs::exists(folder / "config.json")) {
    const std::string what = what_folder_is(folder);
    fail_data(
        "{}: neither a run directory (manifest.json), nor an adapter (adapter_config.json), nor a model "
        "(config.json){}",
        command.target, what.empty() ? what : fmt::format(", but {}", what));
  }
  const bool summary = run && command.table.empty();
  std::string text;
  if (summary && format == TableFormat::text)
    text = run_summary(RunDirectory(folder));
  else
    text = render(summary ? run_table(RunDirectory(folder), "jobs") : shown(command), format);
  print_result(text);
}

}  // namespace rocket
