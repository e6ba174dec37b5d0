#include "formats/adapter_tensors.h"

#include "formats/torch_file.h"

namespace rocket {

std::unique_ptr<const TensorFile> open_adapter_tensors(const std::filesystem::path& folder) {
  const auto path = folder / "adapter_model.safetensors", pickled = folder / "adapter_model.bin";
  if (!std::filesystem::exists(path) && std::filesystem::exists(pickled))
    return std::make_unique<TorchFile>(pickled);
  return std::make_unique<SafeTensors>(path);
}

}  // namespace rocket
