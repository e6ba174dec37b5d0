// A LoRA adapter that has learned nothing yet.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "adapters/lora.h"

namespace rocket {

struct FreshAdapter {
  std::string name;
  std::int64_t lora_r = 16;
  double alpha = 32;
  bool rslora = false;               // scale = alpha / sqrt(lora_r), else alpha / lora_r
  std::vector<std::string> targets;  // last components of module names: "q_proj"
  std::uint64_t seed = 0;
};

/// As PEFT starts one: A from U(+-1/sqrt(d_in)), which is kaiming_uniform with a = sqrt(5), as a function of
/// (seed, module's name, row, column); B zero. float32 on the CPU. Throws config (78) for a target that no
/// module of the base has.
LoraAdapter fresh_adapter(const FreshAdapter& wanted, std::span<const Module> modules);

}  // namespace rocket
