#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "adapters/lora.h"
#include "adapters/target.h"
#include "base/error.h"
#include "base/files.h"
#include "model/device.h"

namespace rocket {
namespace {

using json = nlohmann::ordered_json;

/// "q_proj", "v_proj" where these name exactly the adapted modules, else their full names: other programs
/// read the short form best.
std::vector<std::string> target_modules(const LoraAdapter& adapter, std::span<const Module> modules) {
  std::set<std::string> full, last;
  for (const LoraWeight& w : adapter.weights) {
    full.insert(modules[static_cast<std::size_t>(w.module)].name);
    last.insert(modules[static_cast<std::size_t>(w.module)].last_component());
  }
  const bool exact = std::ranges::all_of(modules, [&](const Module& module) {
    return full.contains(module.name) == last.contains(module.last_component());
  });
  const auto& names = exact ? last : full;
  return {names.begin(), names.end()};
}

/// PEFT divides alpha by r again. Whole numbers are written as such.
json alpha_of(const LoraWeight& weight) {
  const double alpha = weight.scale * static_cast<double>(weight.lora_r());
  const double whole = std::round(alpha);
  if (std::abs(whole) < 1e15 && whole / static_cast<double>(weight.lora_r()) == weight.scale) {
    return static_cast<std::int64_t>(whole);
  }
  return alpha;
}

json adapter_config(const LoraAdapter& adapter, std::span<const Module> modules,
                    const std::string& base_path) {
  const LoraWeight& first = adapter.weights.front();
  const json alpha = alpha_of(first);
  json ranks = json::object(), alphas = json::object();
  for (const LoraWeight& w : adapter.weights) {
    const std::string& name = modules[static_cast<std::size_t>(w.module)].name;
    if (w.lora_r() != first.lora_r()) ranks[name] = w.lora_r();
    if (alpha_of(w) != alpha) alphas[name] = alpha_of(w);
  }
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"inference_mode", true},
          {"base_model_name_or_path", base_path},
          {"r", first.lora_r()},
          {"lora_alpha", alpha},
          {"use_rslora", false},
          {"rank_pattern", ranks},
          {"alpha_pattern", alphas},
          {"target_modules", target_modules(adapter, modules)},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"init_lora_weights", true},
          {"lora_dropout", 0.0},
          {"modules_to_save", nullptr},
          {"use_dora", false}};
}

void write_tensors(const std::filesystem::path& path, const LoraAdapter& adapter,
                   std::span<const Module> modules) {
  std::vector<at::Tensor> alive;
  std::vector<StoredTensor> stored;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    alive.push_back(tensor.detach().to(at::kCPU, at::kFloat).contiguous());
    stored.push_back(as_stored(name, alive.back()));
  };
  for (const LoraWeight& w : adapter.weights) {
    const std::string stem = "base_model.model." + modules[static_cast<std::size_t>(w.module)].name;
    add(stem + ".lora_A.weight", w.a_RI);
    add(stem + ".lora_B.weight", w.b_OR);
  }
  write_safetensors(path, stored);
}

}  // namespace

void write_adapter(const std::filesystem::path& folder, const LoraAdapter& adapter,
                   std::span<const Module> modules, const std::string& base_path) {
  if (adapter.weights.empty()) fail_internal("adapter '{}' adapts nothing", adapter.name);
  make_folders(folder);
  write_tensors(folder / "adapter_model.safetensors", adapter, modules);
  // The folder is an adapter as soon as this file exists, so it comes last.
  write_file(folder / "adapter_config.json", adapter_config(adapter, modules, base_path).dump(2) + "\n");
}

}  // namespace rocket
