#include "formats/encoder_weights.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "formats/model_json.h"

namespace rocket {

std::optional<std::filesystem::path> pickled_weights(const std::filesystem::path& folder) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
    if (is_there(folder / name)) return std::nullopt;
  const auto file = folder / "pytorch_model.bin";
  return is_there(file) ? std::optional(file) : std::nullopt;
}

EncoderWeights::EncoderWeights(const std::filesystem::path& folder) {
  if (const auto file = pickled_weights(folder)) {
    pickled_.emplace(*file);
  } else {
    safetensors_.emplace(folder);
  }
}

const StoredTensor* EncoderWeights::find(const std::string& name) const {
  return pickled_ ? pickled_->find(name) : safetensors_->find(name);
}

const StoredTensor& EncoderWeights::at(const std::string& name, std::span<const std::int64_t> shape) const {
  if (safetensors_) return safetensors_->at(name, shape);
  const StoredTensor* found = find(name);
  if (found == nullptr) fail_data("{}: tensor '{}' is missing", pickled_->path().string(), name);
  if (!std::ranges::equal(shape, found->shape))
    fail_data("{}: tensor '{}': expected [{}], got [{}]", pickled_->path().string(), name,
              fmt::join(shape, ", "), fmt::join(found->shape, ", "));
  return *found;
}

const std::filesystem::path& EncoderWeights::path_of(const std::string& name) const {
  return pickled_ ? pickled_->path() : safetensors_->path_of(name);
}

std::int64_t EncoderWeights::parameters() const {
  if (safetensors_) return safetensors_->parameters();
  std::int64_t total = 0;
  for (const StoredTensor& tensor : pickled_->tensors())
    total += static_cast<std::int64_t>(tensor.bytes.size()) / size_of(tensor.dtype);
  return total;
}

}  // namespace rocket
