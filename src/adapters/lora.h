// A LoRA adapter: its files, and in memory, resolved against the modules of the base.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "formats/tensors.h"
#include "model/linear_delta.h"

namespace rocket {

/// delta W = scale * B A of one module.
struct LoraWeight {
  std::int64_t module = 0;  // index into Decoder::modules()
  at::Tensor a_RI, b_OR;    // contiguous
  double scale = 1;
  std::int64_t lora_r() const { return a_RI.size(0); }
};

struct LoraAdapter {
  std::string name;
  std::vector<LoraWeight> weights;  // by module, ascending

  const LoraWeight* find(std::int64_t module) const;
  std::int64_t bytes() const;
  /// False where scale B A is zero in all modules: B never trained, A zero, alpha 0, or ranks that cancel
  /// each other out, up to the rounding of float32.
  bool has_effect() const;
  /// Of modules, scales and values: equal for adapters that compute the same from the same numbers.
  Hash128 content() const;
  /// To another type, in place.
  void convert(at::ScalarType dtype);
};

/// A PEFT folder, opened and checked in all but the values, which are mapped and read weight by weight. Its
/// tensors are in adapter_model.safetensors or, where that is not there, in adapter_model.bin.
class LoraFile {
 public:
  struct Weight {
    std::int64_t module = 0;  // index into Decoder::modules()
    std::int64_t lora_r = 0;
    double scale = 1;
    const StoredTensor* a = nullptr;
    const StoredTensor* b = nullptr;
  };

  /// Throws data (65) with "adapter 'name': file: tensor: ..." for anything that cannot be applied exactly as
  /// PEFT would: see adapter_config.h; a lone A or B, shapes that do not fit base or rank, a tensor that
  /// names no module of the base or one outside target_modules (PEFT drops it). A target without tensors is
  /// not adapted (PEFT: B = 0). `base`, which must outlive the file, is what copies of the base's tensors are
  /// compared with; null: no such copy is accepted. An empty `name` is the folder's.
  LoraFile(const std::filesystem::path& folder, std::span<const Module> modules,
           const ModelWeights* base = nullptr, const std::string& name = "");

  const std::string& name() const { return name_; }
  /// base_model_name_or_path; may be empty.
  const std::string& base_model() const { return base_model_; }
  /// What a wrapper put in front of all names (tensor_names.h), which is left out; mostly empty.
  const std::string& wrapped_front() const { return wrapped_front_; }
  /// Of the weights as they are stored, and in memory in another type.
  std::int64_t stored_bytes() const;
  std::int64_t bytes(at::ScalarType dtype) const;
  /// By module, ascending.
  const std::vector<Weight>& weights() const { return weights_; }
  const Weight* find(std::int64_t module) const;
  /// Tensors beside the LoRA that PEFT would load into the base.
  std::size_t beside() const { return beside_.size(); }
  /// Throws data (65) for one of them that is not equal to the base's own.
  void check_copies() const;
  /// Own copies in `dtype`. Throws data (65) for a value that is not finite.
  LoraWeight read(const Weight& weight, at::ScalarType dtype, at::Device device) const;

 private:
  std::string name_, base_model_, wrapped_front_;
  const ModelWeights* base_;
  std::unique_ptr<const TensorFile> tensors_;
  std::vector<Weight> weights_;
  std::vector<const StoredTensor*> beside_;
};

/// All weights of a file. Throws as LoraFile::read and check_copies do.
LoraAdapter load_adapter(const LoraFile& file, at::ScalarType dtype, at::Device device);

/// All weights of a PEFT folder. Throws as LoraFile does.
LoraAdapter load_adapter(const std::filesystem::path& folder, std::span<const Module> modules,
                         at::ScalarType dtype, at::Device device, const ModelWeights* base = nullptr);

/// Writes a PEFT folder (adapter_config.json, adapter_model.safetensors in float32) that
/// PeftModel.from_pretrained loads. Ranks and scales may differ by module (rank_pattern, alpha_pattern with
/// full names).
void write_adapter(const std::filesystem::path& folder, const LoraAdapter& adapter,
                   std::span<const Module> modules, const std::string& base_path);

}  // namespace rocket
