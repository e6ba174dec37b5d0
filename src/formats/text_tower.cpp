#include "formats/text_tower.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace rocket {
namespace {

using Json = JsonObject::Json;

struct ImageModel {
  std::string_view name, architecture;
  const char* text_family;  // where text_config says none; of Qwen2-VL whatever it says
  bool flat = false;        // older files have no text_config: its keys stand beside the others
  bool mrope = false;       // a position has three numbers, which are equal in a text
  bool tied_head = false;   // where config.json does not say
};

constexpr std::array<ImageModel, 7> kImageModels{{
    {.name = "gemma3",
     .architecture = "Gemma3ForConditionalGeneration",
     .text_family = "gemma3_text",
     .tied_head = true},
    {.name = "llava", .architecture = "LlavaForConditionalGeneration", .text_family = "llama"},
    {.name = "llava_next", .architecture = "LlavaNextForConditionalGeneration", .text_family = "llama"},
    {.name = "mistral3",
     .architecture = "Mistral3ForConditionalGeneration",
     .text_family = "mistral",
     .tied_head = true},
    {.name = "qwen2_vl",
     .architecture = "Qwen2VLForConditionalGeneration",
     .text_family = "qwen2_vl_text",
     .flat = true,
     .mrope = true},
    {.name = "qwen2_5_vl",
     .architecture = "Qwen2_5_VLForConditionalGeneration",
     .text_family = "qwen2_vl_text",
     .flat = true,
     .mrope = true},
    {.name = "qwen3_vl",
     .architecture = "Qwen3VLForConditionalGeneration",
     .text_family = "qwen3_vl_text",
     .mrope = true},
}};

constexpr std::array<std::string_view, 4> kImageParts{"visual", "vision_tower", "vision_model",
                                                      "multi_modal_projector"};

/// Of three equal numbers the parts of a head turn as of one.
void take_mrope_as_plain(Json& settings) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!settings.contains(key) || !settings[key].is_object()) continue;
    for (const char* kind : {"type", "rope_type"})
      if (settings[key].value(kind, Json()) == "mrope") settings[key][kind] = "default";
  }
}

/// What stands beside text_config wins, as in transformers.
void take_outer(const JsonObject& config, const ImageModel& model, Json& settings) {
  const bool tied = config.boolean("tie_word_embeddings", model.tied_head);
  const bool tied_inside =
      JsonObject(settings, config.place(), "text_config.").boolean("tie_word_embeddings", false);
  settings["tie_word_embeddings"] = tied || tied_inside;
  for (const char* key : {"eos_token_id", "quantization_config"})
    if (config.has(key)) settings[key] = *config.find(key);
}

}  // namespace

std::optional<Json> text_tower_settings(const JsonObject& config) {
  if (!config.has("model_type")) return std::nullopt;
  const auto* model = std::ranges::find(kImageModels, config.text("model_type"), &ImageModel::name);
  if (model == kImageModels.end()) return std::nullopt;
  const auto architectures = config.texts("architectures");
  if (!architectures.empty() && architectures.front() != model->architecture)
    config.refuse("architectures", fmt::format("'{}' is not supported (known: {})", architectures.front(),
                                               model->architecture));
  if (!config.has("text_config") && !model->flat)
    config.wrong("text_config", "the language model's settings");
  Json settings = config.has("text_config") ? config.object("text_config").value() : config.value();
  if (model->mrope || settings.value("model_type", Json()).is_null())
    settings["model_type"] = model->text_family;
  settings.erase("architectures");
  if (model->mrope) take_mrope_as_plain(settings);
  if (settings.contains("final_logit_softcapping") && !settings["final_logit_softcapping"].is_null())
    config.refuse("text_config.final_logit_softcapping",
                  "logits of a model that reads images are not capped, in transformers either");
  take_outer(config, *model, settings);
  return settings;
}

std::string name_in_text_tower(std::string_view name) {
  constexpr std::string_view kOlder = "language_model.model.", kOlderHead = "language_model.lm_head",
                             kFlat = "model.";
  if (name.starts_with(kOlder)) return std::string(kTextTower).append(name.substr(kOlder.size()));
  if (name.starts_with(kOlderHead)) return std::string(name.substr(kOlderHead.find("lm_head")));
  if (!name.starts_with(kFlat) || name.starts_with(kTextTower) || reads_images(name))
    return std::string(name);
  return std::string(kTextTower).append(name.substr(kFlat.size()));
}

bool reads_images(std::string_view module) {
  if (module.starts_with("model.")) module.remove_prefix(6);
  return std::ranges::any_of(kImageParts, [&](std::string_view part) {
    return module.starts_with(part) && module.substr(part.size()).starts_with(".");
  });
}

}  // namespace rocket
