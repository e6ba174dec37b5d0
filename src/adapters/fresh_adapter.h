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

/// One of the modules, ranks and scales of `shape`, started likewise: A is a function of (seed, adapter's
/// name, module's name, row, column), B zero.
LoraAdapter fresh_of_shape(const LoraAdapter& shape, std::span<const Module> modules, std::uint64_t seed);

/// On these modules one of about `parameters` values: of one rank everywhere, the nearest to it and at least
/// 1, and of one scale. A and B start as those of fresh_adapter.
LoraAdapter fresh_of_size(const std::string& name, std::span<const std::int64_t> adapted,
                          std::int64_t parameters, double scale, std::uint64_t seed,
                          std::span<const Module> modules);

}  // namespace rocket
