#include "text/tokenizer_json.h"

#include <limits>

#include "base/error.h"
#include "formats/json_reader.h"

namespace rocket {

namespace {

using nlohmann::json;

const json& member(const json& object, const std::string& key, const std::string& part) {
  if (!object.is_object()) fail_data("{}: expected an object, found {}", part, object.type_name());
  const auto found = object.find(key);
  if (found == object.end()) fail_data("{}: `{}` is missing", part, key);
  return *found;
}

bool is_absent(const json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null();
}

std::string string_of(const json& value, const std::string& part) {
  if (!value.is_string()) fail_data("{}: expected a string, found {}", part, value.type_name());
  return value.get<std::string>();
}

std::string string_at(const json& object, const std::string& key, const std::string& part) {
  return string_of(member(object, key, part), part + "." + key);
}

bool flag_at(const json& object, const std::string& key, bool absent, const std::string& part) {
  if (is_absent(object, key)) return absent;
  const json& value = object.at(key);
  if (!value.is_boolean()) fail_data("{}.{}: expected true or false, found {}", part, key, value.type_name());
  return value.get<bool>();
}

TokenId id_of(const json& value, const std::string& part) {
  if (!value.is_number_integer()) fail_data("{}: expected a token id, found {}", part, value.type_name());
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() < std::uint64_t{std::numeric_limits<TokenId>::max()}
                        : value.get<std::int64_t>() >= 0;
  if (!fits) fail_data("{}: {} is no token id", part, shown(value));
  return value.get<TokenId>();
}

const json& list_of(const json& value, const std::string& part) {
  if (!value.is_array()) fail_data("{}: expected a list, found {}", part, value.type_name());
  return value;
}

/// Calls `use(step, part)` for the one step that `value` is, or for each of its list under `steps` if it is a
/// Sequence. Null: no step.
template <class Use>
void for_each_step(const json& value, const std::string& steps, const std::string& part, Use&& use) {
  if (value.is_null()) return;
  if (string_at(value, "type", part) != "Sequence") return use(value, part);
  const json& list = list_of(member(value, steps, part), part + "." + steps);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string step_part = fmt::format("{}.{}[{}]", part, steps, i);
    if (string_at(list[i], "type", step_part) == "Sequence")
      fail_data("{}: a Sequence inside a Sequence", step_part);
    use(list[i], step_part);
  }
}

[[noreturn]] void refuse_type(const json& step, const std::string& part, std::string_view known) {
  fail_data("{}: type '{}' is not supported (supported: {})", part, string_at(step, "type", part), known);
}

void add_normalizer(const json& step, const std::string& part, Normalizers& normalizers) {
  const std::string type = string_at(step, "type", part);
  if (type == "NFC")
    normalizers.push_back(std::make_unique<UnicodeForm>(UnicodeForm::Form::nfc));
  else if (type == "NFD")
    normalizers.push_back(std::make_unique<UnicodeForm>(UnicodeForm::Form::nfd));
  else if (type == "Lowercase")
    normalizers.push_back(std::make_unique<Lowercase>());
  else if (type == "StripAccents")
    normalizers.push_back(std::make_unique<StripAccents>());
  else if (type == "BertNormalizer") {
    std::optional<bool> strip;
    if (!is_absent(step, "strip_accents")) strip = flag_at(step, "strip_accents", false, part);
    for (auto& part_step : bert_normalizer(flag_at(step, "clean_text", true, part),
                                           flag_at(step, "handle_chinese_chars", true, part), strip,
                                           flag_at(step, "lowercase", true, part)))
      normalizers.push_back(std::move(part_step));
  } else {
    refuse_type(step, part, "NFC, NFD, Lowercase, StripAccents, BertNormalizer, Sequence");
  }
}

Pattern split_pattern(const json& step, const std::string& part) {
  const json& pattern = member(step, "pattern", part);
  return in_context(part, [&] {
    if (pattern.is_object() && pattern.contains("Regex"))
      return oniguruma_pattern(string_at(pattern, "Regex", "pattern"));
    return literal_pattern(string_at(pattern, "String", "pattern"));
  });
}

std::unique_ptr<PreTokenizer> split_step(const json& step, const std::string& part) {
  const std::string behavior = string_at(step, "behavior", part);
  if (behavior != "Isolated" && behavior != "Removed")
    fail_data("{}: behavior '{}' is not supported (supported: Isolated, Removed)", part, behavior);
  return std::make_unique<Split>(
      split_pattern(step, part),
      behavior == "Isolated" ? Split::Behavior::isolated : Split::Behavior::removed,
      flag_at(step, "invert", false, part));
}

std::unique_ptr<PreTokenizer> isolating(const char* pattern) {
  return std::make_unique<Split>(oniguruma_pattern(pattern), Split::Behavior::isolated, false);
}

/// What the pre-tokenizers leave to the model: characters, or bytes in GPT-2's alphabet.
struct PreTokenizerChain {
  PreTokenizers steps;
  bool byte_level = false;
};

void add_pre_tokenizer(const json& step, const std::string& part, PreTokenizerChain& chain) {
  const std::string type = string_at(step, "type", part);
  if (chain.byte_level) fail_data("{}: '{}' behind ByteLevel is not supported", part, type);
  if (type == "ByteLevel") {
    if (flag_at(step, "add_prefix_space", true, part)) chain.steps.push_back(std::make_unique<PrefixSpace>());
    if (flag_at(step, "use_regex", true, part)) chain.steps.push_back(isolating(kGpt2Pattern));
    chain.byte_level = true;
  } else if (type == "Split") {
    chain.steps.push_back(split_step(step, part));
  } else if (type == "Digits") {
    chain.steps.push_back(
        isolating(flag_at(step, "individual_digits", false, part) ? R"(\p{N})" : R"(\p{N}+)"));
  } else if (type == "BertPreTokenizer") {
    chain.steps.push_back(std::make_unique<BertWords>());
  } else {
    refuse_type(step, part, "ByteLevel, Split, Digits, BertPreTokenizer, Sequence");
  }
}

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

void refuse_unless_off(const json& model, const std::string& key) {
  if (is_absent(model, key)) return;
  const json& value = model.at(key);
  if (value == false || value == "" || value == 0.0) return;
  fail_data("model: {} = {} is not supported for byte-level BPE", key, shown(value));
}

std::unique_ptr<TokenModel> bpe_model(const json& model, const TokenMap& vocabulary, bool byte_level) {
  if (!byte_level) fail_data("model: BPE without a ByteLevel pre-tokenizer is not supported");
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"})
    refuse_unless_off(model, key);
  ByteLevelBpeOptions options;
  const json& merges = list_of(member(model, "merges", "model"), "model.merges");
  for (std::size_t i = 0; i < merges.size(); ++i)
    options.merges.push_back(read_merge(merges[i], fmt::format("model.merges[{}]", i)));
  if (!is_absent(model, "unk_token")) options.unk_token = string_at(model, "unk_token", "model");
  options.fuse_unk = flag_at(model, "fuse_unk", false, "model");
  options.ignore_merges = flag_at(model, "ignore_merges", false, "model");
  return std::make_unique<ByteLevelBpe>(vocabulary, options);
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

std::unique_ptr<TokenModel> make_model(const json& model, const TokenMap& vocabulary, bool byte_level) {
  // Files from before the models had a type are told apart by their merges.
  const std::string type = is_absent(model, "type") ? (model.contains("merges") ? "BPE" : "WordPiece")
                                                    : string_at(model, "type", "model");
  if (type == "BPE") return bpe_model(model, vocabulary, byte_level);
  if (type == "WordPiece") return wordpiece_model(model, vocabulary, byte_level);
  fail_data("model: type '{}' is not supported (supported: BPE, WordPiece)", type);
}

void add_decoder(const json& step, const std::string& part, TokenDecoders& decoders) {
  const std::string type = string_at(step, "type", part);
  if (type == "ByteLevel")
    decoders.push_back(std::make_unique<ByteLevelDecoder>());
  else if (type == "Fuse")
    decoders.push_back(std::make_unique<FuseDecoder>());
  else if (type == "WordPiece")
    decoders.push_back(
        std::make_unique<WordPieceDecoder>(is_absent(step, "prefix") ? "##" : string_at(step, "prefix", part),
                                           flag_at(step, "cleanup", true, part)));
  else
    refuse_type(step, part, "ByteLevel, WordPiece, Fuse, Sequence");
}

/// The ids that a template puts on either side of the text.
void read_template(const json& step, const std::string& part, std::vector<TokenId>& before,
                   std::vector<TokenId>& behind) {
  int texts = 0;
  const json& specials = member(step, "special_tokens", part);
  for (const json& piece : list_of(member(step, "single", part), part + ".single")) {
    if (piece.is_object() && piece.contains("Sequence")) {
      ++texts;
      continue;
    }
    const std::string name =
        string_at(member(piece, "SpecialToken", part + ".single"), "id", part + ".single");
    const std::string token_part = part + ".special_tokens";
    const json& ids = member(member(specials, name, token_part), "ids", token_part);
    for (const json& id : list_of(ids, token_part + ".ids"))
      (texts == 0 ? before : behind).push_back(id_of(id, token_part + ".ids"));
  }
  if (texts != 1) fail_data("{}.single: expected the text once, found it {} times", part, texts);
}

TokenId named_id(const json& step, const std::string& key, const std::string& part) {
  const json& pair = list_of(member(step, key, part), part + "." + key);
  if (pair.size() != 2) fail_data("{}.{}: expected [token, id]", part, key);
  return id_of(pair[1], part + "." + key);
}

void add_post_processor(const json& step, const std::string& part, TokenizerParts& parts) {
  const std::string type = string_at(step, "type", part);
  if (type == "ByteLevel") return;  // trims offsets only
  std::vector<TokenId> before, behind;
  if (type == "TemplateProcessing") {
    read_template(step, part, before, behind);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    before = {named_id(step, "cls", part)};
    behind = {named_id(step, "sep", part)};
  } else {
    refuse_type(step, part, "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, Sequence");
  }
  parts.own_specials = true;
  parts.leading.insert(parts.leading.begin(), before.begin(), before.end());
  parts.trailing.insert(parts.trailing.end(), behind.begin(), behind.end());
}

const json& part_or_null(const json& tokenizer, const std::string& key) {
  static const json null;
  const auto found = tokenizer.find(key);
  return found == tokenizer.end() ? null : *found;
}

void read_added_tokens(const json& tokenizer, TokenizerParts& parts) {
  const json& added = part_or_null(tokenizer, "added_tokens");
  if (added.is_null()) return;
  for (std::size_t i = 0; i < list_of(added, "added_tokens").size(); ++i)
    parts.added.push_back(added_token(added[i], fmt::format("added_tokens[{}]", i)));
}

}  // namespace

AddedToken added_token(const json& token, const std::string& part) {
  AddedToken added;
  added.content = string_at(token, "content", part);
  added.special = flag_at(token, "special", false, part);
  added.single_word = flag_at(token, "single_word", false, part);
  added.lstrip = flag_at(token, "lstrip", false, part);
  added.rstrip = flag_at(token, "rstrip", false, part);
  added.normalized = flag_at(token, "normalized", !added.special, part);
  return added;
}

TokenizerParts tokenizer_parts(const json& tokenizer) {
  const json& model = member(tokenizer, "model", "the file");
  TokenizerParts parts;
  parts.vocabulary = read_vocabulary(model);
  for_each_step(
      part_or_null(tokenizer, "normalizer"), "normalizers", "normalizer",
      [&](const json& step, const std::string& part) { add_normalizer(step, part, parts.normalizers); });
  PreTokenizerChain chain;
  for_each_step(part_or_null(tokenizer, "pre_tokenizer"), "pretokenizers", "pre_tokenizer",
                [&](const json& step, const std::string& part) { add_pre_tokenizer(step, part, chain); });
  parts.model = make_model(model, parts.vocabulary, chain.byte_level);
  parts.pre_tokenizers = std::move(chain.steps);
  for_each_step(part_or_null(tokenizer, "post_processor"), "processors", "post_processor",
                [&](const json& step, const std::string& part) { add_post_processor(step, part, parts); });
  for_each_step(part_or_null(tokenizer, "decoder"), "decoders", "decoder",
                [&](const json& step, const std::string& part) { add_decoder(step, part, parts.decoders); });
  if (parts.decoders.empty()) parts.decoders.push_back(std::make_unique<SpacedDecoder>());
  read_added_tokens(tokenizer, parts);
  return parts;
}

}  // namespace rocket
