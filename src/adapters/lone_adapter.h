// An adapter looked at without its base: what its own files can tell.
#pragma once

#include <filesystem>
#include <vector>

#include "adapters/lora.h"

namespace rocket {

/// The linear layers that the tensors of a PEFT folder change, with the shapes that these imply. Throws data
/// (65) for a layer that no base has that is read here, for tensors that are no matrices, and for layers of
/// one kind that differ in shape.
std::vector<Module> modules_of_tensors(const std::filesystem::path& folder);

}  // namespace rocket
