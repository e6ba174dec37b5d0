// The tensors of a PEFT folder, in whichever form they are saved.
#pragma once

#include <filesystem>
#include <memory>

#include "formats/tensors.h"

namespace rocket {

/// adapter_model.safetensors or, where that is absent, adapter_model.bin (PEFT prefers them in this order,
/// too). Throws as SafeTensors and TorchFile do.
std::unique_ptr<const TensorFile> open_adapter_tensors(const std::filesystem::path& folder);

}  // namespace rocket
