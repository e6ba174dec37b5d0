#include "adapters/tensor_names.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace rocket {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kBaseLayer = ".base_layer";

// PEFT writes names without the adapter's own; a file that was saved from a state dict still has "default" in
// them, which PEFT loads all the same.
constexpr std::pair<std::string_view, bool> kSuffixes[] = {{".lora_A.weight", true},
                                                           {".lora_A.default.weight", true},
                                                           {".lora_B.weight", false},
                                                           {".lora_B.default.weight", false}};

/// Parts of names that wrappers of a model put in, and the wrapper. PEFT finds no layer of such a name.
constexpr Pair kWrappers[] = {{"_orig_mod.", "torch.compile"},
                              {"_fsdp_wrapped_module.", "FSDP"},
                              {"_fpw_module.", "FSDP"},
                              {"_checkpoint_wrapped_module.", "activation checkpointing"}};

/// What else PEFT saves, and why it is refused. The first that fits holds.
constexpr Pair kReasons[] = {
    {".lora_magnitude_vector", "DoRA rescales the weights of the base, which is not computed"},
    {".lora_embedding_", "a LoRA of the token embeddings is not computed; only linear layers are adapted"},
    {".lora_A.bias", "a bias inside the LoRA is not computed"},
    {".lora_B.bias", "a bias inside the LoRA is not computed"},
    {".token_adapter.", "new token embeddings (trainable_token_indices) are not computed"},
    {".modules_to_save.", "it replaces a whole module of the base, which is not computed"},
    {".embed_tokens.", "new token embeddings are not computed"},
    {".embed_in.", "new token embeddings are not computed"},
    {".lm_head.", "it replaces the output layer of the base, which is not computed"},
    {".embed_out.", "it replaces the output layer of the base, which is not computed"},
    {".score.", "it is the head of a classifier; an adapter that was trained to classify writes no text"},
    {".classifier.",
     "it is the head of a classifier; an adapter that was trained to classify writes no text"},
    {"norm.weight", "a retrained norm of the base is not computed"},
    {"norm.bias", "a retrained norm of the base is not computed"},
    {".bias", "a retrained bias of the base (bias: all or lora_only) is not computed"},
    {kBaseLayer, "a changed weight of the base is not computed"}};

constexpr std::string_view kReplaced[] = {"embed_tokens.weight",
                                          "embed_in.weight",
                                          "lm_head.weight",
                                          "embed_out.weight",
                                          "norm.weight",
                                          "norm.bias",
                                          "_proj.weight",
                                          "_proj.bias",
                                          ".dense.weight",
                                          ".dense.bias",
                                          ".query_key_value.weight",
                                          ".query_key_value.bias",
                                          "_4h.weight",
                                          "_4h.bias",
                                          "_h.weight",
                                          "_h.bias"};

void refuse_wrapped(std::string_view name) {
  for (const auto& [part, wrapper] : kWrappers)
    if (name.find(part) != std::string_view::npos)
      fail_data(
          "tensor '{}': its name holds '{}', which {} puts in, and not all names begin alike: PEFT finds no "
          "such layer and would load nothing. Save the unwrapped model, or take '{}' out of the names",
          name, part, wrapper, part);
}

/// Without the parts that wrappers put in.
std::string without_wrappers(std::string_view name) {
  std::string plain(name);
  for (const auto& [part, wrapper] : kWrappers)
    for (std::size_t at; (at = plain.find(part)) != std::string::npos;) plain.erase(at, part.size());
  return plain;
}

}  // namespace

std::string wrapped_front(std::span<const StoredTensor> tensors) {
  if (tensors.empty()) return "";
  const std::string_view first = tensors.front().name;
  std::size_t length = 0;
  for (const auto& [part, wrapper] : kWrappers)
    if (const std::size_t at = first.rfind(part); at != std::string_view::npos)
      length = std::max(length, at + part.size());
  const std::string_view front = first.substr(0, length);
  const bool common = std::ranges::all_of(tensors, [&](const auto& t) { return t.name.starts_with(front); });
  return std::string(common ? front : "");
}

std::string unwrapped(std::string_view name, std::string_view front) {
  return without_wrappers(front) + std::string(name.substr(front.size()));
}

std::optional<LoraHalf> lora_half(std::string_view name) {
  refuse_wrapped(name);
  for (const auto& [suffix, is_a] : kSuffixes) {
    const std::size_t around = kPrefix.size() + suffix.size();
    if (name.size() > around && name.starts_with(kPrefix) && name.ends_with(suffix))
      return LoraHalf{std::string(name.substr(kPrefix.size(), name.size() - around)), is_a};
  }
  return std::nullopt;
}

std::optional<std::string> replaced_tensor(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::string base(name.substr(kPrefix.size()));
  if (const std::size_t at = base.find(kBaseLayer); at != std::string::npos)
    base.erase(at, kBaseLayer.size());
  const bool known =
      std::ranges::any_of(kReplaced, [&](std::string_view end) { return base.ends_with(end); });
  return known ? std::optional(base) : std::nullopt;
}

void refuse_tensor(std::string_view name, const std::string& detail) {
  for (const auto& [part, reason] : kReasons)
    if (name.find(part) != std::string_view::npos) fail_data("tensor '{}': {}{}", name, reason, detail);
  fail_data("tensor '{}': no part of a LoRA adapter; expected {}<module>.lora_A.weight or .lora_B.weight{}",
            name, kPrefix, detail);
}

}  // namespace rocket
