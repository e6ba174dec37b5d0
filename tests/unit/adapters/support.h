// What the tests of adapters share: a small world of modules, and PEFT folders made by hand.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adapters/lora.h"
#include "base/error.h"
#include "base/files.h"
#include "model/device.h"

namespace rocket::test {

class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("rocket-test-" + std::to_string(getpid()) + "-" + std::to_string(count()++))) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  static int& count() {
    static int n = 0;
    return n;
  }
  std::filesystem::path path_;
};

/// Code and message of the Error that `f` throws; "" if it throws none.
template <class F>
std::pair<ExitCode, std::string> error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {ExitCode::done, ""};
}

inline const std::vector<Module> kModules = {{"model.layers.0.self_attn.q_proj", 6, 8},
                                             {"model.layers.0.self_attn.v_proj", 6, 4},
                                             {"model.layers.1.self_attn.q_proj", 6, 8},
                                             {"model.layers.1.self_attn.v_proj", 6, 4}};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// A PEFT folder; `config` is laid over a plain configuration of rank 2 on q_proj and v_proj.
inline void write_peft(const std::filesystem::path& folder, const NamedTensors& tensors,
                       const nlohmann::json& config = {}) {
  nlohmann::json whole = {
      {"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 4}, {"target_modules", {"q_proj", "v_proj"}}};
  if (!config.is_null()) whole.update(config);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "adapter_config.json") << whole.dump();
  std::vector<StoredTensor> stored;
  for (const auto& [name, tensor] : tensors) stored.push_back(as_stored(name, tensor));
  write_safetensors(folder / "adapter_model.safetensors", stored);
}

inline std::string a_name(const std::string& module) {
  return "base_model.model." + module + ".lora_A.weight";
}
inline std::string b_name(const std::string& module) {
  return "base_model.model." + module + ".lora_B.weight";
}

/// Random A and B of a module.
inline void add_pair(NamedTensors& tensors, const Module& module, std::int64_t lora_r) {
  tensors.emplace_back(a_name(module.name), at::randn({lora_r, module.inputs}));
  tensors.emplace_back(b_name(module.name), at::randn({module.outputs, lora_r}));
}

inline at::Tensor delta_w(const LoraWeight& weight) {
  return at::mm(weight.b_OR.to(at::kDouble), weight.a_RI.to(at::kDouble)) * weight.scale;
}

}  // namespace rocket::test
