// config.json and its neighbours of Hugging Face model folders, as validated values.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

enum class RopeKind { plain, linear, dynamic, llama3, yarn, longrope };

/// The name in config.json: "default", "linear", ...
std::string name_of(RopeKind kind);

/// Rotary position embedding; the fields behind `factor` count for the kinds named beside them.
struct RopeConfig {
  RopeKind kind = RopeKind::plain;
  double theta = 0;
  double factor = 1;                                 // all but plain
  std::int64_t original_positions = 0;               // all but linear: before the model was stretched
  double low_freq_factor = 0, high_freq_factor = 0;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  bool truncate = true;                              // yarn: whole numbers bound the blend of frequencies
  double attention_factor = 1;                       // yarn, longrope: of the cosines and sines
  std::vector<double> short_factors, long_factors;  // longrope: of each pair, up to that length and beyond it
  std::int64_t width = 0;  // the first values of a head that are turned, the others stay; 0: all of them

  /// Whether a text's own length decides by which angles all its rows are turned.
  bool turns_by_length() const { return kind == RopeKind::dynamic || kind == RopeKind::longrope; }
};

/// How a norm brings the rows x to one size. `rms` rounds x / rms(x) to the type of x before it takes the
/// weight times that. Those of one_rounding compute in float32 to the end.
enum class NormKind {
  rms,               // as LlamaRMSNorm
  rms_one_rounding,  // as Olmo2RMSNorm
  rms_above_one,     // with one rounding, and the weights are stored less one: as Gemma2RMSNorm
  layer              // LayerNorm with a bias
};

/// Of the feed-forward layer: x / (1 + e^-x), x Phi(x), and the latter by tanh.
enum class Activation { silu, gelu, gelu_tanh };

/// How one tensor holds the layers for q, k and v: not at all (each has its own), one behind the other, or
/// head by head.
enum class Joined { none, in_turn, by_head };

/// What a family calls its tensors. An empty name: there is none.
struct DecoderNames {
  std::string_view model = "model.";  // in front of all but the head
  std::string_view embedding = "embed_tokens", norm = "norm", head = "lm_head";
  // Of a layer. Linear layers that read the same rows stand together; one that is alone holds them all.
  std::array<std::string_view, 3> qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
  std::string_view o = "self_attn.o_proj";
  std::array<std::string_view, 2> gate_up = {"mlp.gate_proj", "mlp.up_proj"};
  std::string_view down = "mlp.down_proj";
  // Norms in front of attention and of the feed-forward layer, and of what these add to the rows.
  std::string_view before_attention = "input_layernorm", after_attention = "";
  std::string_view before_mlp = "post_attention_layernorm", after_mlp = "";
};

/// A decoder of the Llama architecture or of a family that differs from it by what stands here.
struct DecoderConfig {
  std::string family;  // "llama", "mistral", "gemma2", ...: formats/decoder_config.cpp holds the table
  DecoderNames names;
  std::int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  std::int64_t vocabulary = 0;
  std::int64_t max_positions = 0;  // tokens that a text may have
  NormKind norm = NormKind::rms;
  double norm_eps = 0;
  Activation activation = Activation::silu;
  bool gated = true;      // activation(gate) * up, else activation(up)
  bool parallel = false;  // attention and the feed-forward layer read the same rows, and are added at once
  Joined joined = Joined::none;
  RopeConfig rope;
  std::optional<RopeConfig> window_rope;   // of layers with a window, where they have another one
  std::vector<std::uint8_t> without_rope;  // by layer: 1 where q and k are not turned; empty: all turn
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool qkv_bias_may_lack = false;     // config.json says that there is none: the weights tell
  bool qk_norm = false;               // a norm on each head of q and k
  bool qk_norm_of_all_heads = false;  // then of all heads together
  std::vector<std::int64_t> windows;  // by layer: a row attends to so many rows, its own included; 0: to all
  bool looks_ahead = false;  // a row attends to those behind it, too, within the window on either side
  // What embeddings, the outputs of a layer's two parts, and logits are multiplied with.
  double embedding_scale = 1, residual_scale = 1, logit_scale = 1;
  double attention_scale = 0;               // of scores; 0: 1 / sqrt(head_dim)
  double attention_cap = 0, logit_cap = 0;  // x becomes cap * tanh(x / cap); 0: it stays
  /// Phi-3 reads a text again from its beginning when a generation goes beyond so many positions, where all
  /// its rows turn by other angles; 0: never.
  std::int64_t reread_at = 0;
  bool tied_head = false;
  std::vector<std::int64_t> eos_ids;             // config.json, in file order; may be empty
  std::vector<std::int64_t> generation_eos_ids;  // generation_config.json; may be empty
  std::vector<std::string> notes;                // on what the files say in vain, a sentence each

  /// The rotary embedding of a layer; null: none.
  const RopeConfig* rope_of(std::int64_t layer) const;
  /// Whether a text's own length decides by which angles rows of some layer are turned.
  bool turns_by_length() const;
};

/// Reads old and new forms (rope_theta and rope_scaling or rope_parameters, type or rope_type). Throws data
/// (65) for a family or a setting that rocket cannot compute exactly, saying why and which are known. A model
/// whose rows look ahead cannot continue a text: it is read where it is `allowed`, as an encoder.
enum class LookAhead { refused, allowed };
DecoderConfig read_decoder_config(const std::filesystem::path& folder,
                                  LookAhead look_ahead = LookAhead::refused);

/// Whether read_decoder_config() takes models of this model_type.
bool is_decoder_family(std::string_view name);

/// How the rows of a text become one vector, as sentence-transformers has it.
enum class Pooling {
  cls,            // the first row
  last,           // the last row
  mean,           // of all rows
  mean_sqrt,      // their sum over the root of their number
  weighted_mean,  // row i, from 1, weighs i
  max,            // of each component
};

/// A Dense module of sentence-transformers: a linear layer on the pooled vector.
struct DenseConfig {
  std::filesystem::path folder;  // of its weights: linear.weight, linear.bias
  std::int64_t inputs = 0, outputs = 0;
  bool bias = true;
  bool tanh = true;  // its activation; else none
};

/// A sentence encoder of the BERT architecture, or of a family that differs from it by what stands here; or a
/// decoder whose rows behind the last norm are pooled (Qwen3-Embedding).
struct EncoderConfig {
  std::string family;    // "bert", "modernbert", ...: formats/encoder_config.cpp holds the table
  bool decoder = false;  // a family of read_decoder_config(): what stands up to `vocabulary` is its own
  std::int64_t hidden = 0, layers = 0, heads = 0, intermediate = 0;
  std::int64_t vocabulary = 0, max_positions = 0;
  std::int64_t type_vocabulary = 0;  // 0: it has no token types
  /// MPNet: a score of attention has a learned number added, one for each head and class of distance between
  /// the two tokens. 0: it has not.
  std::int64_t distance_classes = 0;
  /// RoBERTa and its kin: positions begin behind this id, and a token of this id has it for its position. -1:
  /// none is special, and positions begin at 0.
  std::int64_t padding_id = -1;
  /// Norms stand in front of a layer's two parts, and one behind the last layer, as in decoders; else behind
  /// what each part adds.
  bool norms_in_front = false;
  bool gated = false;  // of the feed-forward layer: activation(gate) * up
  bool linear_bias = true, norm_bias = true;
  bool inner_bias = true;                 // of the layers in front of the activation
  std::optional<RopeConfig> rope;         // in place of learned positions
  std::optional<RopeConfig> window_rope;  // of layers with a window, where they have another one
  std::vector<std::int64_t> windows;      // by layer: a row attends to those less than this away; 0: to all
  double norm_eps = 0;
  Activation activation = Activation::gelu;
  std::int64_t max_tokens = 0;     // min(usable positions, max_seq_length), specials included
  bool lower_case = false;         // texts are lower-cased in front of the tokenizer
  std::vector<DenseConfig> dense;  // between pooling and normalisation, in order

  /// Of the vectors that its modules compute.
  std::int64_t dimension() const { return dense.empty() ? hidden : dense.back().outputs; }
};

/// Reads config.json and the files of sentence-transformers beside it, if there are any. Throws data (65) for
/// a family, a module or a setting that rocket cannot compute exactly, saying which are known.
EncoderConfig read_encoder_config(const std::filesystem::path& folder);

/// Whether read_encoder_config() takes models of this model_type.
bool is_encoder_family(std::string_view name);

/// What sentence-transformers puts in front of a text, from the `prompts` of
/// config_sentence_transformers.json. `choice` is "auto" (its default_prompt_name; nothing where it names
/// none), "none" or a name. Throws config (78) for a name that is not there, data (65) for a default that is
/// not there.
std::string read_prompt(const std::filesystem::path& folder, const std::string& choice);

/// What `encoder.pooling` takes: the words of sentence-transformers.
const std::vector<std::string>& pooling_words();
const std::string& word_of(Pooling pooling);

/// `choice` is "auto" or one of pooling_words(); auto reads 1_Pooling/config.json in its old and new form.
/// Throws config (78) where auto finds no such file or the word is none, data (65) for another pooling there.
Pooling read_pooling(const std::filesystem::path& folder, const std::string& choice);

}  // namespace rocket
