#include "model/encoder_names.h"

#include <map>

namespace rocket {
namespace {

const EncoderNames kBert = {.prefixes = {"bert.", "roberta."},
                            .layers = "encoder.layer.",
                            .qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
                            .attention_output = "attention.output.dense",
                            .attention_norm = "attention.output.LayerNorm",
                            .intermediate = {"intermediate.dense"},
                            .output = "output.dense",
                            .output_norm = "output.LayerNorm"};

const EncoderNames kGte = {.prefixes = {"new.", "gte."},
                           .layers = "encoder.layer.",
                           .qkv = {"attention.qkv_proj"},
                           .attention_output = "attention.o_proj",
                           .attention_norm = "attn_ln",
                           .intermediate = {"mlp.up_gate_proj"},
                           .gate_behind = true,
                           .output = "mlp.down_proj",
                           .output_norm = "mlp_ln"};

const std::map<std::string, EncoderNames, std::less<>> kOthers = {
    {"new", kGte},
    {"gte", kGte},  // transformers saves the authors' names
    {"mpnet",
     {.prefixes = {"mpnet."},
      .layers = "encoder.layer.",
      .qkv = {"attention.attn.q", "attention.attn.k", "attention.attn.v"},
      .attention_output = "attention.attn.o",
      .attention_norm = "attention.LayerNorm",
      .intermediate = {"intermediate.dense"},
      .output = "output.dense",
      .output_norm = "output.LayerNorm"}},
    {"distilbert",
     {.prefixes = {"distilbert."},
      .layers = "transformer.layer.",
      .qkv = {"attention.q_lin", "attention.k_lin", "attention.v_lin"},
      .attention_output = "attention.out_lin",
      .attention_norm = "sa_layer_norm",
      .intermediate = {"ffn.lin1"},
      .output = "ffn.lin2",
      .output_norm = "output_layer_norm"}},
    {"modernbert",
     {.prefixes = {"model."},
      .words = "embeddings.tok_embeddings",
      .embedding_norm = "embeddings.norm",
      .final_norm = "final_norm",
      .layers = "layers.",
      .qkv = {"attn.Wqkv"},
      .attention_output = "attn.Wo",
      .attention_norm = "attn_norm",
      .intermediate = {"mlp.Wi"},
      .output = "mlp.Wo",
      .output_norm = "mlp_norm"}},
    {"nomic_bert",  // transformers saves these names, too
     {.prefixes = {"bert.", "nomic_bert."},
      .embedding_norm = "emb_ln",
      .layers = "encoder.layers.",
      .qkv = {"attn.Wqkv"},
      .attention_output = "attn.out_proj",
      .attention_norm = "norm1",
      .intermediate = {"mlp.fc12", "mlp.fc11"},
      .output = "mlp.fc2",
      .output_norm = "norm2"}}};

}  // namespace

const EncoderNames& encoder_names(std::string_view family) {
  const auto found = kOthers.find(family);
  return found == kOthers.end() ? kBert : found->second;
}

}  // namespace rocket
