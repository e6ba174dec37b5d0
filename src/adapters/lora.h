// A LoRA adapter in memory, resolved against the modules of the base.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

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
};

/// Reads a PEFT folder. Throws data (65) with "adapter 'name': file: tensor: ..." for anything that cannot be
/// applied exactly: see adapter_config.h; a lone A or B, shapes that do not fit base or rank, a tensor that names
/// no module of the base, a value that is not finite.
LoraAdapter load_adapter(const std::filesystem::path& folder, std::span<const Module> modules, at::ScalarType dtype,
                         at::Device device);

/// Writes a PEFT folder (adapter_config.json, adapter_model.safetensors in float32) that
/// PeftModel.from_pretrained loads. Ranks and scales may differ by module (rank_pattern, alpha_pattern with full names).
void write_adapter(const std::filesystem::path& folder, const LoraAdapter& adapter, std::span<const Module> modules,
                   const std::string& base_path);

}  // namespace rocket
