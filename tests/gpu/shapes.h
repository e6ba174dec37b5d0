// Shapes of public bases that people run on GPUs, as their config.json files have them.
#pragma once

#include <array>
#include <string>

#include "model/decoder.h"

namespace rocket::test {

struct NamedShape {
  std::string name;
  DecoderConfig config;
};

inline NamedShape shape(const std::string& name, DecoderConfig config, double theta) {
  config.family = "llama";
  config.rope.theta = theta;
  config.windows.assign(static_cast<std::size_t>(config.layers), 0);
  return {name, config};
}

/// Llama-2-7B, Mistral-7B, Llama-3.1-8B, Qwen2.5-7B and Qwen3-8B; positions as far as tests need them.
inline std::array<NamedShape, 5> public_shapes() {
  return {
      shape("Llama-2-7B",
            {.hidden = 4096,
             .layers = 32,
             .heads = 32,
             .kv_heads = 32,
             .head_dim = 128,
             .intermediate = 11008,
             .vocabulary = 32000,
             .max_positions = 4096,
             .norm_eps = 1e-5},
            10000),
      shape("Mistral-7B",
            {.hidden = 4096,
             .layers = 32,
             .heads = 32,
             .kv_heads = 8,
             .head_dim = 128,
             .intermediate = 14336,
             .vocabulary = 32768,
             .max_positions = 8192,
             .norm_eps = 1e-5},
            1000000),
      shape("Llama-3.1-8B",
            {.hidden = 4096,
             .layers = 32,
             .heads = 32,
             .kv_heads = 8,
             .head_dim = 128,
             .intermediate = 14336,
             .vocabulary = 128256,
             .max_positions = 8192,
             .norm_eps = 1e-5},
            500000),
      shape("Qwen2.5-7B",
            {.hidden = 3584,
             .layers = 28,
             .heads = 28,
             .kv_heads = 4,
             .head_dim = 128,
             .intermediate = 18944,
             .vocabulary = 152064,
             .max_positions = 8192,
             .norm_eps = 1e-6,
             .qkv_bias = true},
            1000000),
      shape("Qwen3-8B",
            {.hidden = 4096,
             .layers = 36,
             .heads = 32,
             .kv_heads = 8,
             .head_dim = 128,
             .intermediate = 12288,
             .vocabulary = 151936,
             .max_positions = 8192,
             .norm_eps = 1e-6,
             .qk_norm = true},
            1000000),
  };
}

/// Multiplications and additions of a token in the base's linear layers.
inline double flops_of_token(const Decoder& decoder) {
  double sum = 0;
  for (const Module& m : decoder.modules()) sum += 2.0 * static_cast<double>(m.inputs * m.outputs);
  return sum;
}

inline double flops_of_head(const Decoder& decoder) {
  return 2.0 * static_cast<double>(decoder.config().hidden * decoder.config().vocabulary);
}

}  // namespace rocket::test
