// The weights of a sentence encoder or of one of its modules. Unlike decoders, many of them are published as
// pytorch_model.bin alone (bge-m3 among them).
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "formats/tensors.h"
#include "formats/torch_file.h"

namespace rocket {

/// pytorch_model.bin where a folder has it and no safetensors.
std::optional<std::filesystem::path> pickled_weights(const std::filesystem::path& folder);

class EncoderWeights {
 public:
  /// Throws data (65) as ModelWeights and TorchFile do.
  explicit EncoderWeights(const std::filesystem::path& folder);

  /// nullptr if absent.
  const StoredTensor* find(const std::string& name) const;
  /// Throws data (65) naming folder and tensor if absent or of another shape.
  const StoredTensor& at(const std::string& name, std::span<const std::int64_t> shape) const;
  /// The file that holds a tensor; the folder if none does.
  const std::filesystem::path& path_of(const std::string& name) const;
  /// Number of elements of all tensors.
  std::int64_t parameters() const;

 private:
  std::optional<ModelWeights> safetensors_;
  std::optional<TorchFile> pickled_;
};

}  // namespace rocket
