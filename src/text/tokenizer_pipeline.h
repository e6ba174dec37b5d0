// A tokenizer put together from the parts that tokenizer.json names.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_added.h"
#include "text/tokenizer_decoder.h"
#include "text/tokenizer_model.h"
#include "text/tokenizer_normalizer.h"
#include "text/tokenizer_pretokenizer.h"

namespace rocket {

/// Text -> added tokens -> normalizers -> pre-tokenizers -> model; ids -> decoders.
struct TokenizerParts {
  TokenMap vocabulary;  // of the model
  Normalizers normalizers;
  PreTokenizers pre_tokenizers;
  std::unique_ptr<TokenModel> model;
  TokenDecoders decoders;
  std::vector<AddedToken> added;
  std::vector<TokenId> leading, trailing;
  bool own_specials = false;  // the post-processor is of a kind that says what stands around a text
};

/// How tokenizer_config.json adds to the parts.
struct NamedSpecials {
  std::optional<std::string> eos, bos;
  bool add_bos = false, add_eos = false;  // where the post-processor does not say
};

/// Throws data (65) if `specials` names a token that there is not.
std::unique_ptr<Tokenizer> make_tokenizer(TokenizerParts parts, const NamedSpecials& specials);

}  // namespace rocket
