#include "adapters/lora.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <unordered_map>

#include "adapters/target.h"
#include "base/error.h"
#include "base/files.h"
#include "formats/adapter_tensors.h"
#include "model/device.h"

namespace rocket {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";

// PEFT writes names without the adapter's own; a file that was saved from a state dict still has "default" in
// them, which PEFT loads all the same.
constexpr std::pair<std::string_view, bool> kSuffixes[] = {{".lora_A.weight", true},
                                                           {".lora_A.default.weight", true},
                                                           {".lora_B.weight", false},
                                                           {".lora_B.default.weight", false}};

/// What else PEFT saves, and why it is refused.
constexpr std::pair<std::string_view, std::string_view> kReasons[] = {
    {".lora_magnitude_vector", "DoRA rescales the weights of the base, which is not computed"},
    {".lora_embedding_", "a LoRA of the token embeddings is not computed; only linear layers are adapted"},
    {".lora_A.bias", "a bias inside the LoRA is not computed"},
    {".lora_B.bias", "a bias inside the LoRA is not computed"},
    {".token_adapter.", "new token embeddings (trainable_token_indices) are not computed"},
    {".modules_to_save.", "it replaces a whole module of the base, which is not computed"},
    {".embed_tokens.", "new token embeddings are not computed"},
    {".lm_head.", "it replaces the output layer of the base, which is not computed"},
    {".bias", "a retrained bias of the base (bias: all or lora_only) is not computed"}};

struct Half {
  std::string module;
  bool is_a = false;
};

/// What a tensor's name says.
Half parse_name(std::string_view name) {
  for (const auto& [suffix, is_a] : kSuffixes) {
    const std::size_t around = kPrefix.size() + suffix.size();
    if (name.size() > around && name.starts_with(kPrefix) && name.ends_with(suffix)) {
      return {std::string(name.substr(kPrefix.size(), name.size() - around)), is_a};
    }
  }
  for (const auto& [part, reason] : kReasons)
    if (name.find(part) != std::string_view::npos) fail_data("tensor '{}': {}", name, reason);
  fail_data("tensor '{}': no part of a LoRA adapter; expected {}<module>.lora_A.weight or .lora_B.weight",
            name, kPrefix);
}

void check_shape(const StoredTensor& tensor, std::int64_t rows, std::int64_t columns) {
  if (tensor.shape != std::vector<std::int64_t>{rows, columns}) {
    fail_data("tensor '{}': expected [{}, {}], got [{}]", tensor.name, rows, columns,
              fmt::join(tensor.shape, ", "));
  }
  if (!at::isFloatingType(scalar_type(tensor.dtype))) {
    fail_data("tensor '{}': expected floating point values, got {}", tensor.name, name_of(tensor.dtype));
  }
}

using WeightMap = std::map<std::int64_t, LoraFile::Weight>;

/// The tensors by module, in model order.
WeightMap pair_tensors(const std::vector<StoredTensor>& tensors, std::span<const Module> modules) {
  std::unordered_map<std::string_view, std::int64_t> index;
  for (std::size_t i = 0; i < modules.size(); ++i) index[modules[i].name] = static_cast<std::int64_t>(i);
  WeightMap weights;
  for (const StoredTensor& tensor : tensors) {
    const Half half = parse_name(tensor.name);
    const auto found = index.find(half.module);
    if (found == index.end()) {
      fail_data("tensor '{}': the base has no linear layer '{}'", tensor.name, half.module);
    }
    LoraFile::Weight& weight = weights[found->second];
    weight.module = found->second;
    const StoredTensor*& slot = half.is_a ? weight.a : weight.b;
    if (slot != nullptr) fail_data("tensor '{}': '{}' is the same weight", tensor.name, slot->name);
    slot = &tensor;
  }
  if (weights.empty()) fail_data("there is no tensor in it");
  return weights;
}

void check_weight(LoraFile::Weight& weight, const Module& module, const AdapterConfig& config) {
  if (weight.a == nullptr || weight.b == nullptr) {
    const StoredTensor& lone = weight.a != nullptr ? *weight.a : *weight.b;
    fail_data("tensor '{}': its lora_{} is missing", lone.name, weight.a != nullptr ? "B" : "A");
  }
  if (!is_target(config, module.name)) {
    fail_data(
        "tensor '{}': adapter_config.json does not name this layer (target_modules, exclude_modules, "
        "layers_to_transform), so PEFT would drop it",
        weight.a->name);
  }
  weight.lora_r = config.rank_of(module.name);
  weight.scale = config.scale_of(module.name);
  check_shape(*weight.a, weight.lora_r, module.inputs);
  check_shape(*weight.b, module.outputs, weight.lora_r);
}

at::Tensor read_tensor(const StoredTensor& stored, at::ScalarType dtype, at::Device device) {
  at::Tensor tensor = as_tensor(stored).to(device, dtype, /*non_blocking=*/false, /*copy=*/true);
  const auto [least, most] = at::aminmax(tensor);  // NaN where one is; without the temporaries of isfinite()
  if (!std::isfinite(least.item<double>()) || !std::isfinite(most.item<double>())) {
    fail_data("tensor '{}': holds a value that is not finite", stored.name);
  }
  return tensor;
}

}  // namespace

const LoraWeight* LoraAdapter::find(std::int64_t module) const {
  const auto at = std::ranges::lower_bound(weights, module, {}, &LoraWeight::module);
  return at != weights.end() && at->module == module ? &*at : nullptr;
}

void LoraAdapter::convert(at::ScalarType dtype) {
  for (LoraWeight& weight : weights) {
    weight.a_RI = weight.a_RI.to(dtype);
    weight.b_OR = weight.b_OR.to(dtype);
  }
}

std::int64_t LoraAdapter::bytes() const {
  std::int64_t sum = 0;
  for (const LoraWeight& w : weights) sum += static_cast<std::int64_t>(w.a_RI.nbytes() + w.b_OR.nbytes());
  return sum;
}

LoraFile::LoraFile(const std::filesystem::path& folder, std::span<const Module> modules)
    : name_(folder_name(folder)),
      tensors_(in_context(fmt::format("adapter '{}'", name_), [&] { return open_adapter_tensors(folder); })) {
  in_context(fmt::format("adapter '{}'", name_), [&] {
    const AdapterConfig config = read_adapter_config(folder);
    base_model_ = config.base_model;
    in_context(tensors_->path().filename().string(), [&] {
      for (auto& [module, weight] : pair_tensors(tensors_->tensors(), modules)) {
        weights_.push_back(weight);
        check_weight(weights_.back(), modules[static_cast<std::size_t>(module)], config);
      }
    });
  });
}

const LoraFile::Weight* LoraFile::find(std::int64_t module) const {
  const auto at = std::ranges::lower_bound(weights_, module, {}, &Weight::module);
  return at != weights_.end() && at->module == module ? &*at : nullptr;
}

std::int64_t LoraFile::stored_bytes() const {
  std::int64_t sum = 0;
  for (const Weight& w : weights_) sum += static_cast<std::int64_t>(w.a->bytes.size() + w.b->bytes.size());
  return sum;
}

std::int64_t LoraFile::bytes(at::ScalarType dtype) const {
  std::int64_t values = 0;
  for (const Weight& w : weights_) values += w.lora_r * (w.a->shape[1] + w.b->shape[0]);
  return values * static_cast<std::int64_t>(c10::elementSize(dtype));
}

LoraWeight LoraFile::read(const Weight& weight, at::ScalarType dtype, at::Device device) const {
  return in_context(fmt::format("adapter '{}': {}", name_, tensors_->path().filename().string()), [&] {
    LoraWeight result{weight.module, read_tensor(*weight.a, dtype, device),
                      read_tensor(*weight.b, dtype, device), weight.scale};
    tensors_->forget_pages();
    return result;
  });
}

LoraAdapter load_adapter(const LoraFile& file, at::ScalarType dtype, at::Device device) {
  LoraAdapter adapter{file.name(), {}};
  for (const LoraFile::Weight& weight : file.weights())
    adapter.weights.push_back(file.read(weight, dtype, device));
  return adapter;
}

LoraAdapter load_adapter(const std::filesystem::path& folder, std::span<const Module> modules,
                         at::ScalarType dtype, at::Device device) {
  return load_adapter(LoraFile(folder, modules), dtype, device);
}

}  // namespace rocket
