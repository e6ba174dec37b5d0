#include "formats/model_json.h"

#include <array>

#include "base/error.h"

namespace rocket {
namespace {

/// How class names of transformers begin, and the family.
constexpr std::array<std::array<const char*, 2>, 18> kClasses{{{"LlamaFor", "llama"},
                                                               {"MistralFor", "mistral"},
                                                               {"MinistralFor", "ministral"},
                                                               {"Qwen2For", "qwen2"},
                                                               {"Qwen3For", "qwen3"},
                                                               {"Gemma2For", "gemma2"},
                                                               {"Gemma3ForCausalLM", "gemma3_text"},
                                                               {"Phi3For", "phi3"},
                                                               {"Olmo2For", "olmo2"},
                                                               {"GraniteFor", "granite"},
                                                               {"SmolLM3For", "smollm3"},
                                                               {"GPTNeoXFor", "gpt_neox"},
                                                               {"MixtralFor", "mixtral"},
                                                               {"Qwen3MoeFor", "qwen3_moe"},
                                                               {"Bert", "bert"},
                                                               {"XLMRoberta", "xlm-roberta"},
                                                               {"Roberta", "roberta"},
                                                               {"Camembert", "camembert"}}};

}  // namespace

bool is_there(const std::filesystem::path& file) {
  std::error_code unreadable;  // then reading says why
  return std::filesystem::exists(file, unreadable);
}

std::string family_of(const JsonObject& config) {
  if (config.has("model_type")) return config.text("model_type");
  const auto architectures = config.texts("architectures");
  if (architectures.empty()) config.wrong("model_type", "the family of the model");
  for (const auto& [beginning, family] : kClasses)
    if (architectures.front().starts_with(beginning)) return family;
  return architectures.front();
}

void refuse_if_set(const JsonObject& config, const char* key, const char* reason) {
  if (config.boolean(key, false)) config.refuse(key, fmt::format("true is not supported: {}", reason));
}

void refuse_quantized(const JsonObject& config) {
  if (config.has("quantization_config"))
    config.refuse("quantization_config", "quantized weights are not supported; use the unquantized model");
}

void check_heads(const JsonObject& config, std::int64_t hidden, std::int64_t heads) {
  if (hidden % heads != 0)
    config.refuse("hidden_size", fmt::format("{} is no multiple of num_attention_heads = {}", hidden, heads));
}

}  // namespace rocket
