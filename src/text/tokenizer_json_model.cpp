#include "text/tokenizer_json_model.h"

#include <cmath>

#include "base/error.h"
#include "formats/json_reader.h"
#include "text/tokenizer_json_fields.h"

namespace rocket {

namespace {

using nlohmann::json;

TokenMap read_vocabulary(const json& model) {
  const json& entries = member(model, "vocab", "model");
  if (!entries.is_object()) fail_data("model.vocab: expected an object, found {}", entries.type_name());
  TokenMap vocabulary;
  vocabulary.reserve(entries.size());
  for (const auto& [token, id] : entries.items())
    vocabulary.emplace(token, id_of(id, fmt::format("model.vocab '{}'", token)));
  return vocabulary;
}

std::pair<std::string, std::string> read_merge(const json& merge, const std::string& part) {
  if (merge.is_array() && merge.size() == 2) return {string_of(merge[0], part), string_of(merge[1], part)};
  const std::string text = string_of(merge, part);
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    fail_data("{}: expected two tokens and one space, found '{}'", part, text);
  return {text.substr(0, space), text.substr(space + 1)};
}

void refuse_unless_off(const json& model, const std::string& key, const char* kind) {
  if (is_absent(model, key)) return;
  const json& value = model.at(key);
  if (value == false || value == "" || value == 0.0) return;
  fail_data("model: {} = {} is not supported for {}", key, shown(value), kind);
}

std::unique_ptr<TokenModel> bpe_model(const json& model, const TokenMap& vocabulary, bool byte_level) {
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"})
    refuse_unless_off(model, key, "BPE");
  if (byte_level) refuse_unless_off(model, "byte_fallback", "byte-level BPE");
  BpeOptions options;
  const json& merges = list_of(member(model, "merges", "model"), "model.merges");
  for (std::size_t i = 0; i < merges.size(); ++i)
    options.merges.push_back(read_merge(merges[i], fmt::format("model.merges[{}]", i)));
  if (!is_absent(model, "unk_token")) options.unk_token = string_at(model, "unk_token", "model");
  options.fuse_unk = flag_at(model, "fuse_unk", false, "model");
  options.ignore_merges = flag_at(model, "ignore_merges", false, "model");
  options.byte_fallback = flag_at(model, "byte_fallback", false, "model");
  options.byte_level = byte_level;
  return std::make_unique<Bpe>(vocabulary, options);
}

std::vector<ScoredToken> read_scored_tokens(const json& model) {
  const json& entries = list_of(member(model, "vocab", "model"), "model.vocab");
  std::vector<ScoredToken> tokens;
  for (std::size_t id = 0; id < entries.size(); ++id) {
    const std::string part = fmt::format("model.vocab[{}]", id);
    const json& entry = list_of(entries[id], part);
    if (entry.size() != 2 || !entry[1].is_number())
      fail_data("{}: expected [token, score], found {}", part, shown(entry));
    const double score = entry[1].get<double>();
    if (!std::isfinite(score)) fail_data("{}: the score {} is not finite", part, score);
    tokens.push_back({string_of(entry[0], part), score});
  }
  return tokens;
}

std::unique_ptr<TokenModel> unigram_model(const json& model, bool byte_level, TokenMap& vocabulary) {
  if (byte_level) fail_data("model: Unigram behind a ByteLevel pre-tokenizer is not supported");
  const std::vector<ScoredToken> tokens = read_scored_tokens(model);
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (!vocabulary.emplace(tokens[id].text, static_cast<TokenId>(id)).second)
      fail_data("model.vocab[{}]: '{}' is there twice", id, tokens[id].text);
  UnigramOptions options;
  options.unk_id = id_of(member(model, "unk_id", "model"), "model.unk_id");
  if (static_cast<std::size_t>(options.unk_id) >= tokens.size())
    fail_data("model.unk_id: {} is no place in the vocabulary of {} tokens", options.unk_id, tokens.size());
  options.byte_fallback = flag_at(model, "byte_fallback", false, "model");
  return std::make_unique<Unigram>(tokens, options);
}

std::unique_ptr<TokenModel> wordpiece_model(const json& model, const TokenMap& vocabulary, bool byte_level) {
  if (byte_level) fail_data("model: WordPiece behind a ByteLevel pre-tokenizer is not supported");
  WordPieceOptions options;
  if (!is_absent(model, "unk_token")) options.unk_token = string_at(model, "unk_token", "model");
  if (!is_absent(model, "continuing_subword_prefix"))
    options.prefix = string_at(model, "continuing_subword_prefix", "model");
  if (!is_absent(model, "max_input_chars_per_word"))
    options.longest_word = id_of(model["max_input_chars_per_word"], "model.max_input_chars_per_word");
  return std::make_unique<WordPiece>(vocabulary, options);
}

/// Files from before the models had a type are told apart by what else they have.
std::string model_type(const json& model) {
  if (!is_absent(model, "type")) return string_at(model, "type", "model");
  return model.contains("merges") ? "BPE" : model.contains("unk_id") ? "Unigram" : "WordPiece";
}

}  // namespace

void read_model(const json& model, bool byte_level, TokenizerParts& parts) {
  if (!model.is_object()) fail_data("model: expected an object, found {}", model.type_name());
  const std::string type = model_type(model);
  if (type == "Unigram") {
    parts.model = unigram_model(model, byte_level, parts.vocabulary);
    return;
  }
  if (type != "BPE" && type != "WordPiece")
    fail_data("model: type '{}' is not supported (supported: BPE, WordPiece, Unigram)", type);
  parts.vocabulary = read_vocabulary(model);
  parts.model = type == "BPE" ? bpe_model(model, parts.vocabulary, byte_level)
                              : wordpiece_model(model, parts.vocabulary, byte_level);
}

}  // namespace rocket
