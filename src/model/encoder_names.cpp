#include "model/encoder_names.h"

namespace rocket {

const EncoderNames& encoder_names(std::string_view family) {
  static const EncoderNames bert = {.prefixes = {"bert.", "roberta."},
                                    .layers = "encoder.layer.",
                                    .query = "attention.self.query",
                                    .key = "attention.self.key",
                                    .value = "attention.self.value",
                                    .attention_output = "attention.output.dense",
                                    .attention_norm = "attention.output.LayerNorm",
                                    .intermediate = "intermediate.dense",
                                    .output = "output.dense",
                                    .output_norm = "output.LayerNorm"};
  static const EncoderNames mpnet = {.prefixes = {"mpnet."},
                                     .layers = "encoder.layer.",
                                     .query = "attention.attn.q",
                                     .key = "attention.attn.k",
                                     .value = "attention.attn.v",
                                     .attention_output = "attention.attn.o",
                                     .attention_norm = "attention.LayerNorm",
                                     .intermediate = "intermediate.dense",
                                     .output = "output.dense",
                                     .output_norm = "output.LayerNorm"};
  static const EncoderNames distilbert = {.prefixes = {"distilbert."},
                                          .layers = "transformer.layer.",
                                          .query = "attention.q_lin",
                                          .key = "attention.k_lin",
                                          .value = "attention.v_lin",
                                          .attention_output = "attention.out_lin",
                                          .attention_norm = "sa_layer_norm",
                                          .intermediate = "ffn.lin1",
                                          .output = "ffn.lin2",
                                          .output_norm = "output_layer_norm"};
  if (family == "mpnet") return mpnet;
  if (family == "distilbert") return distilbert;
  return bert;
}

}  // namespace rocket
