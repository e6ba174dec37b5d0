// A SentencePiece model as the tokenizer.json that transformers (5.x) makes of it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/sentencepiece_model.h"

namespace rocket {

struct LlamaOptions {
  bool legacy = false;  // a space also before text behind an added token
  bool add_prefix_space = true;
};

/// LlamaTokenizer. Throws data (65) if the model is no BPE.
nlohmann::json llama_tokenizer(const SentencePieceModel& model, const LlamaOptions& options);

struct XlmRobertaOptions {
  std::string bos, pad, eos, unk, mask;
  bool add_prefix_space = true;
};

/// XLMRobertaTokenizer, whose ids are not the model's: four specials stand in front of it in place of its own
/// three, one behind. Throws data (65) if the model is no Unigram.
nlohmann::json xlm_roberta_tokenizer(const SentencePieceModel& model, const XlmRobertaOptions& options);

}  // namespace rocket
