// Tensors of a torch.save file (adapter_model.bin), read without running anything of it.
#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "formats/tensors.h"

namespace rocket {

/// One file of torch.save since PyTorch 1.6: a ZIP archive of a pickle and of one entry a storage. Tensors
/// may be views: those whose elements do not lie in order are copied, the others point into the map.
class TorchFile : public TensorFile {
 public:
  /// Throws data (65): see read_zip and Pickle; the old form without a ZIP archive; big-endian values;
  /// anything but a dict of tensors by name; a tensor that reaches beyond its storage, a storage beyond its
  /// entry; types without a DType.
  explicit TorchFile(const std::filesystem::path& path);

 private:
  std::deque<std::vector<std::byte>> copies_;
};

}  // namespace rocket
