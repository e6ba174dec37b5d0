// adapter_config.json of a PEFT LoRA adapter, as validated values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace rocket {

struct AdapterConfig {
  std::int64_t r = 0;
  double alpha = 0;
  bool rslora = false;
  std::string base_model;                   // as the file says; may be empty
  std::vector<std::string> target_modules;  // a list, or one regular expression
  bool target_is_regex = false;
  std::map<std::string, std::int64_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;

  /// lora_r and scale of a module by its full name ("model.layers.0.self_attn.q_proj"), PEFT's rule:
  /// a pattern key matches as the regular expression `(.*\.)?(key)$`, the first match in file order... see
  /// .cpp.
  std::int64_t rank_of(const std::string& module) const;
  /// alpha / r, or alpha / sqrt(r) for rsLoRA, with patterned alpha and patterned r.
  double scale_of(const std::string& module) const;
};

/// Throws data (65): no LoRA, an unknown key or an unsupported feature whose value is not null, false, [] or
/// {} (DoRA, bias, modules_to_save, ...), wrong types. The message names the file and the key.
AdapterConfig read_adapter_config(const std::filesystem::path& folder);

}  // namespace rocket
