// What the files of the encoder families call their tensors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rocket {

/// Names without what a checkpoint puts in front of all of them; linear layers and norms without ".weight".
/// Linear layers that read the same rows may be one tensor, which then stands alone in its list.
struct EncoderNames {
  std::vector<std::string> prefixes;  // what may stand in front of all names, beside nothing
  std::string words = "embeddings.word_embeddings", embedding_norm = "embeddings.LayerNorm";
  std::string final_norm;  // of a family whose norms stand in front
  std::string layers;      // in front of a layer's number
  // In a layer:
  std::vector<std::string> qkv;  // query, key, value
  std::string attention_output, attention_norm;
  std::vector<std::string> intermediate;  // of a gated family the gate, then what it is multiplied with
  bool gate_behind = false;               // in one tensor the gate stands behind the other
  std::string output, output_norm;
};

/// Of a family that read_encoder_config() takes.
const EncoderNames& encoder_names(std::string_view family);

}  // namespace rocket
