// What the names of the tensors in a PEFT folder say.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "formats/tensors.h"

namespace rocket {

/// What a wrapper of the whole model (torch.compile, FSDP, ...) left in the names of a file: the part that
/// all of them begin with, up to the wrapper's own. Empty: none. PEFT would load nothing from such a file.
std::string wrapped_front(std::span<const StoredTensor> tensors);

/// The name without the wrappers of a front that it begins with.
std::string unwrapped(std::string_view name, std::string_view front);

/// One of the two factors of a module's LoRA.
struct LoraHalf {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  bool is_a = false;
};

/// Nothing where the name is no factor's.
std::optional<LoraHalf> lora_half(std::string_view name);

/// The tensor of the base that a tensor of this name would replace when PEFT loads it: embeddings, output
/// layer, norms, and weights and biases of linear layers. Nothing for all other names. Trainers leave copies
/// of these beside the LoRA.
std::optional<std::string> replaced_tensor(std::string_view name);

/// Why a tensor that is no factor is not computed. Throws data (65), always.
[[noreturn]] void refuse_tensor(std::string_view name, const std::string& detail = "");

}  // namespace rocket
