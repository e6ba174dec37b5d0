#include "adapters/lone_adapter.h"

#include <algorithm>
#include <map>

#include "adapters/tensor_names.h"
#include "base/error.h"
#include "formats/adapter_tensors.h"
#include "formats/regex.h"

namespace rocket {
namespace {

/// Layers of one kind have one shape, in all families that are read here.
void check_alike(const std::vector<Module>& modules) {
  std::map<std::string, const Module*> first;
  for (const Module& module : modules) {
    if (module.inputs == 0 || module.outputs == 0) continue;  // a lone factor, which its reader refuses
    const Module& other = *first.emplace(module.last_component(), &module).first->second;
    if (other.inputs != module.inputs || other.outputs != module.outputs)
      fail_data("'{}' is [{}, {}] and '{}' is [{}, {}]: no base has layers of one kind with two shapes",
                other.name, other.outputs, other.inputs, module.name, module.outputs, module.inputs);
  }
}

}  // namespace

std::vector<Module> modules_of_tensors(const std::filesystem::path& folder) {
  static const Regex known(
      R"((model\.layers\.\d+\.(self_attn\.([qkvo]|qkv)_proj|mlp\.(gate|up|gate_up|down)_proj))"
      R"(|gpt_neox\.layers\.\d+\.(attention\.(query_key_value|dense)|mlp\.dense_(h_to_4h|4h_to_h)))\z)",
      "modules");
  const auto file = open_adapter_tensors(folder);
  std::map<std::string, Module> modules;
  return in_context(file->path().filename().string(), [&] {
    const std::string front = wrapped_front(file->tensors());
    for (const StoredTensor& tensor : file->tensors()) {
      const auto half = lora_half(unwrapped(tensor.name, front));
      if (!half || half->module == "lm_head" || std::ranges::find(tensor.shape, 0) != tensor.shape.end())
        continue;
      if (!known.matches(half->module))
        fail_data("tensor '{}': no base that is read here has a linear layer '{}'", tensor.name,
                  half->module);
      if (tensor.shape.size() != 2)
        fail_data("tensor '{}': expected a matrix, found {} dimensions", tensor.name, tensor.shape.size());
      Module& module = modules[half->module];
      module.name = half->module;
      (half->is_a ? module.inputs : module.outputs) = tensor.shape[half->is_a ? 1 : 0];
    }
    std::vector<Module> all;
    for (const auto& [name, module] : modules) all.push_back(module);
    check_alike(all);
    return all;
  });
}

}  // namespace rocket
