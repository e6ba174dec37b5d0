// config.json and its neighbours of Hugging Face model folders, as validated values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rocket {

/// A decoder of the Llama architecture.
struct DecoderConfig {
  std::string family;  // "llama"
  std::int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  std::int64_t vocabulary = 0, max_positions = 0;
  double norm_eps = 0, rope_theta = 0;
  bool tied_head = false;
  std::vector<std::int64_t> eos_ids;             // config.json, in file order; may be empty
  std::vector<std::int64_t> generation_eos_ids;  // generation_config.json; may be empty
};

/// Reads old and new forms (rope_theta or rope_parameters, torch_dtype or dtype). Throws data (65) for a
/// family or a setting that rocket cannot compute exactly, saying which are known.
DecoderConfig read_decoder_config(const std::filesystem::path& folder);

enum class Pooling { cls, mean };

/// A BERT sentence encoder.
struct EncoderConfig {
  std::string family;  // "bert"
  std::int64_t hidden = 0, layers = 0, heads = 0, intermediate = 0;
  std::int64_t vocabulary = 0, max_positions = 0, type_vocabulary = 0;
  double norm_eps = 0;
  std::string activation;       // "gelu" (exact) or "gelu_new"/"gelu_pytorch_tanh"
  std::int64_t max_tokens = 0;  // min(positions, max_seq_length), specials included
};

EncoderConfig read_encoder_config(const std::filesystem::path& folder);

/// `choice` is "auto", "cls" or "mean"; auto reads 1_Pooling/config.json in its old and new form. Throws
/// config (78) where auto finds no such file, data (65) for poolings other than these two.
Pooling read_pooling(const std::filesystem::path& folder, const std::string& choice);

}  // namespace rocket
