#include "adapters/lora.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <unordered_map>

#include "adapters/target.h"
#include "adapters/tensor_names.h"
#include "base/error.h"
#include "base/files.h"
#include "formats/adapter_tensors.h"
#include "formats/text_tower.h"
#include "model/device.h"
#include "model/finite.h"

namespace rocket {
namespace {

void check_shape(const StoredTensor& tensor, std::int64_t rows, std::int64_t columns) {
  if (tensor.shape != std::vector<std::int64_t>{rows, columns}) {
    fail_data("tensor '{}': expected [{}, {}], got [{}]", tensor.name, rows, columns,
              fmt::join(tensor.shape, ", "));
  }
  if (!at::isFloatingType(scalar_type(tensor.dtype))) {
    fail_data("tensor '{}': expected floating point values, got {}", tensor.name, name_of(tensor.dtype));
  }
}

void refuse_empty(const StoredTensor& tensor) {
  if (std::ranges::find(tensor.shape, 0) != tensor.shape.end())
    fail_data(
        "tensor '{}': it is empty (shape [{}]). DeepSpeed ZeRO-3 leaves such tensors where the weights were "
        "not "
        "gathered: save the adapter again with stage3_gather_16bit_weights_on_model_save",
        tensor.name, fmt::join(tensor.shape, ", "));
}

[[noreturn]] void refuse_module(const StoredTensor& tensor, const std::string& module) {
  if (module == "lm_head" || module == "embed_out")
    fail_data(
        "tensor '{}': a LoRA of the output layer is not computed; only the linear layers of attention and "
        "feed-forward are adapted",
        tensor.name);
  if (reads_images(module))
    fail_data(
        "tensor '{}': it adapts the part of the model that reads images, which is not computed; an adapter "
        "of the "
        "language model's layers alone is needed",
        tensor.name);
  fail_data("tensor '{}': the base has no linear layer '{}'", tensor.name, module);
}

using WeightMap = std::map<std::int64_t, LoraFile::Weight>;

/// The factors by module, in model order; other tensors that PEFT would load into the base go to `beside`.
/// `front`: wrapped_front() of the tensors.
WeightMap pair_tensors(const std::vector<StoredTensor>& tensors, std::string_view front,
                       std::span<const Module> modules, std::vector<const StoredTensor*>& beside) {
  std::unordered_map<std::string_view, std::int64_t> index;
  for (std::size_t i = 0; i < modules.size(); ++i) index[modules[i].name] = static_cast<std::int64_t>(i);
  WeightMap weights;
  for (const StoredTensor& tensor : tensors) {
    const std::string name = unwrapped(tensor.name, front);
    const auto half = lora_half(name);
    refuse_empty(tensor);
    if (!half) {
      if (!replaced_tensor(name)) refuse_tensor(name);
      beside.push_back(&tensor);
      continue;
    }
    auto found = index.find(half->module);
    if (found == index.end()) found = index.find(name_in_text_tower(half->module));
    if (found == index.end()) refuse_module(tensor, half->module);
    LoraFile::Weight& weight = weights[found->second];
    weight.module = found->second;
    const StoredTensor*& slot = half->is_a ? weight.a : weight.b;
    if (slot != nullptr) fail_data("tensor '{}': '{}' is the same weight", tensor.name, slot->name);
    slot = &tensor;
  }
  if (weights.empty()) fail_data("there is no tensor of a LoRA in it");
  return weights;
}

/// `named`: the module as the adapter's own files call it.
void check_weight(LoraFile::Weight& weight, const Module& module, const std::string& named,
                  const AdapterConfig& config) {
  if (weight.a == nullptr || weight.b == nullptr) {
    const StoredTensor& lone = weight.a != nullptr ? *weight.a : *weight.b;
    fail_data("tensor '{}': its lora_{} is missing", lone.name, weight.a != nullptr ? "B" : "A");
  }
  if (!is_target(config, named)) {
    fail_data(
        "tensor '{}': adapter_config.json does not name this layer (target_modules, exclude_modules, "
        "layers_to_transform), so PEFT would drop it",
        weight.a->name);
  }
  weight.lora_r = config.rank_of(named);
  weight.scale = config.scale_of(named);
  check_shape(*weight.a, weight.lora_r, module.inputs);
  check_shape(*weight.b, module.outputs, weight.lora_r);
}

at::Tensor read_tensor(const StoredTensor& stored, at::ScalarType dtype, at::Device device) {
  at::Tensor tensor = as_tensor(stored).to(device, dtype, /*non_blocking=*/false, /*copy=*/true);
  require_finite(tensor, stored.name);
  return tensor;
}

/// The largest distance between the values of two tensors of one shape; NaN where one is.
double largest_distance(const StoredTensor& one, const StoredTensor& other) {
  constexpr std::int64_t kAtOnce = 1 << 20;
  const at::Tensor x = as_tensor(one).flatten(), y = as_tensor(other).flatten();
  double largest = 0;
  for (std::int64_t first = 0; first < x.numel(); first += kAtOnce) {
    const std::int64_t count = std::min(kAtOnce, x.numel() - first);
    const auto part = [&](const at::Tensor& t) { return t.narrow(0, first, count).to(at::kDouble); };
    const double here = (part(x) - part(y)).abs().max().item<double>();
    if (!(here <= largest)) largest = here;
    if (std::isnan(largest)) break;
  }
  return largest;
}

/// The output layer of a base that has none of its own, or another name for it in its files.
const StoredTensor* head_of(const ModelWeights& base) {
  for (const char* name : {"embed_out.weight", "model.embed_tokens.weight"})
    if (const StoredTensor* found = base.find(name)) return found;
  return base.find(fmt::format("{}embed_tokens.weight", kTextTower));
}

/// A tensor of the base that lies beside the LoRA. PEFT loads it into the base, so it must be the base's own.
void check_copy(const StoredTensor& tensor, std::string_view front, const ModelWeights* base) {
  const std::string name = *replaced_tensor(unwrapped(tensor.name, front));
  if (base == nullptr) refuse_tensor(tensor.name, fmt::format(" (the base's '{}' is not at hand)", name));
  const StoredTensor* own = base->find(name);
  if (own == nullptr) own = base->find(name_in_text_tower(name));
  if (own == nullptr && name == "lm_head.weight") own = head_of(*base);
  if (own == nullptr) refuse_tensor(tensor.name, fmt::format(" (the base has no '{}')", name));
  if (own->shape != tensor.shape)
    refuse_tensor(tensor.name, fmt::format(" (its shape is [{}], the base's [{}])",
                                           fmt::join(tensor.shape, ", "), fmt::join(own->shape, ", ")));
  if (const double distance = largest_distance(tensor, *own); distance != 0)
    refuse_tensor(tensor.name, fmt::format(" (it differs from the base's by up to {:.3g})", distance));
}

/// |B A|^2 is the sum over the element-wise product of the Gram matrices B^T B and A A^T, whose diagonal are
/// the ranks alone. Where the ranks cancel each other out to less than float32 can tell, what is left is
/// rounding.
bool adds_something(const LoraWeight& w) {
  constexpr double kRounding = 1e-14;  // of the squares: float32 has 6e-8
  if (w.scale == 0) return false;
  const at::Tensor a_RI = w.a_RI.to(at::kDouble), b_OR = w.b_OR.to(at::kDouble);
  const at::Tensor a_RR = a_RI.mm(a_RI.t()), b_RR = b_OR.t().mm(b_OR);
  const double ranks = (a_RR.diagonal() * b_RR.diagonal()).sqrt().sum().item<double>();
  return (a_RR * b_RR).sum().item<double>() > kRounding * ranks * ranks;
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

bool LoraAdapter::has_effect() const {
  return std::ranges::any_of(weights, adds_something);
}

Hash128 LoraAdapter::content() const {
  std::vector<Hash128> parts;
  const auto add = [&](const void* data, std::size_t bytes) {
    parts.push_back(hash128({static_cast<const std::byte*>(data), bytes}));
  };
  for (const LoraWeight& w : weights) {
    const std::array about{static_cast<double>(w.module), static_cast<double>(w.lora_r()), w.scale};
    add(about.data(), sizeof about);
    add(w.a_RI.const_data_ptr(), w.a_RI.nbytes());
    add(w.b_OR.const_data_ptr(), w.b_OR.nbytes());
  }
  return hash128(std::as_bytes(std::span(parts)));
}

LoraFile::LoraFile(const std::filesystem::path& folder, std::span<const Module> modules,
                   const ModelWeights* base, const std::string& name)
    : name_(name.empty() ? folder_name(folder) : name),
      base_(base),
      tensors_(in_context(fmt::format("adapter '{}'", name_), [&] { return open_adapter_tensors(folder); })) {
  in_context(fmt::format("adapter '{}'", name_), [&] {
    const AdapterConfig config = read_adapter_config(folder);
    base_model_ = config.base_model;
    wrapped_front_ = rocket::wrapped_front(tensors_->tensors());
    in_context(tensors_->path().filename().string(), [&] {
      for (auto& [module, weight] : pair_tensors(tensors_->tensors(), wrapped_front_, modules, beside_)) {
        weights_.push_back(weight);
        const std::string& tensor = (weight.a != nullptr ? weight.a : weight.b)->name;
        const std::string named = lora_half(unwrapped(tensor, wrapped_front_))->module;
        check_weight(weights_.back(), modules[static_cast<std::size_t>(module)], named, config);
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

void LoraFile::check_copies() const {
  in_context(fmt::format("adapter '{}': {}", name_, tensors_->path().filename().string()), [&] {
    for (const StoredTensor* tensor : beside_) check_copy(*tensor, wrapped_front_, base_);
    if (!beside_.empty()) tensors_->forget_pages();
  });
}

LoraAdapter load_adapter(const LoraFile& file, at::ScalarType dtype, at::Device device) {
  file.check_copies();
  LoraAdapter adapter{file.name(), {}};
  for (const LoraFile::Weight& weight : file.weights())
    adapter.weights.push_back(file.read(weight, dtype, device));
  return adapter;
}

LoraAdapter load_adapter(const std::filesystem::path& folder, std::span<const Module> modules,
                         at::ScalarType dtype, at::Device device, const ModelWeights* base) {
  return load_adapter(LoraFile(folder, modules, base), dtype, device);
}

}  // namespace rocket
