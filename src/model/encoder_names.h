// What the files of the encoder families call their tensors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rocket {

/// Names without what a checkpoint puts in front of all of them; linear layers and norms without ".weight".
struct EncoderNames {
  std::vector<std::string> prefixes;  // what may stand in front of all names, beside nothing
  std::string layers;                 // in front of a layer's number
  // In a layer:
  std::string query, key, value, attention_output, attention_norm, intermediate, output, output_norm;
};

/// Of a family that read_encoder_config() takes.
const EncoderNames& encoder_names(std::string_view family);

}  // namespace rocket
