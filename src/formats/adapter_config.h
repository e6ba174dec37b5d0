// adapter_config.json of a PEFT LoRA adapter, as validated values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "formats/regex.h"

namespace rocket {

/// An entry of rank_pattern or alpha_pattern: the modules that its key names take `value`.
template <class Value>
struct PatternEntry {
  std::string key;
  Regex names;  // `(.*\.)?(key)$`, from the start of a module's full name
  Value value;
};

struct AdapterConfig {
  std::int64_t r = 0;
  double alpha = 0;
  bool rslora = false;
  std::string base_model;                   // as the file says; may be empty
  std::vector<std::string> target_modules;  // a list, or one regular expression or "all-linear"
  bool target_is_regex = false;
  std::vector<PatternEntry<std::int64_t>> rank_pattern;  // in file order
  std::vector<PatternEntry<double>> alpha_pattern;       // in file order
  std::vector<std::string> exclude_modules;              // names or last components of names
  std::optional<Regex> exclude_pattern;                  // or one expression for the whole name
  std::vector<std::int64_t> layers_to_transform;         // empty: all
  std::vector<Regex> layer_of_module;                    // where in a name the number of its layer stands

  /// lora_r and scale of a module by its full name ("model.layers.0.self_attn.q_proj"), as PEFT decides it:
  /// the first entry of the pattern, in file order, whose key matches the whole name or its last components
  /// as a regular expression; without one `r` and `alpha`. Throws data (65) if a match takes too long.
  std::int64_t rank_of(const std::string& module) const;
  /// alpha / r, or alpha / sqrt(r) for rsLoRA, with patterned alpha and patterned r.
  double scale_of(const std::string& module) const;
  /// Whether exclude_modules names the module, or layers_to_transform does not name its layer (PEFT's rule).
  bool leaves_out(const std::string& module) const;
};

/// Throws data (65): no LoRA of PEFT, an unknown key or an unsupported feature whose value is not null,
/// false, "", [] or {} (DoRA, new tokens, ...), a null r or lora_alpha, wrong types. The message
/// names the file and the key. Absent keys take PEFT's defaults.
AdapterConfig read_adapter_config(const std::filesystem::path& folder);

}  // namespace rocket
