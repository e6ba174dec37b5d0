#include "text/tokenizer_json.h"

#include <map>

#include "base/error.h"
#include "text/base64.h"
#include "text/tokenizer_json_fields.h"
#include "text/tokenizer_json_model.h"
#include "text/tokenizer_precompiled.h"
#include "text/unicode.h"

namespace rocket {

namespace {

using nlohmann::json;

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

Pattern pattern_at(const json& step, const std::string& part) {
  const json& pattern = member(step, "pattern", part);
  return in_context(part, [&] {
    if (pattern.is_object() && pattern.contains("Regex"))
      return oniguruma_pattern(string_at(pattern, "Regex", "pattern"));
    return literal_pattern(string_at(pattern, "String", "pattern"));
  });
}

/// The library puts the content at surprising places where a pattern matches nothing.
Pattern replaced_pattern_at(const json& step, const std::string& part) {
  Pattern pattern = pattern_at(step, part);
  if (pattern.find("", 0)) fail_data("{}: a pattern that matches the empty text is not supported", part);
  return pattern;
}

std::unique_ptr<Normalizer> charsmap_at(const json& step, const std::string& part) {
  const json& value = member(step, "precompiled_charsmap", part);
  // Bytes stand there if the JSON was made from a SentencePiece model.
  if (value.is_binary()) {
    const auto& bytes = value.get_binary();
    return std::make_unique<PrecompiledCharsmap>(
        std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  const auto bytes = from_base64(string_of(value, part + ".precompiled_charsmap"));
  if (!bytes) fail_data("{}.precompiled_charsmap: expected base64", part);
  return in_context(part, [&] { return std::make_unique<PrecompiledCharsmap>(*bytes); });
}

std::unique_ptr<Normalizer> plain_normalizer(const json& step, const std::string& part) {
  const std::string type = string_at(step, "type", part);
  if (type == "NFC") return std::make_unique<UnicodeForm>(UnicodeForm::Form::nfc);
  if (type == "NFD") return std::make_unique<UnicodeForm>(UnicodeForm::Form::nfd);
  if (type == "NFKC") return std::make_unique<UnicodeForm>(UnicodeForm::Form::nfkc);
  if (type == "NFKD") return std::make_unique<UnicodeForm>(UnicodeForm::Form::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "Strip")
    return std::make_unique<StripSpace>(flag_at(step, "strip_left", true, part),
                                        flag_at(step, "strip_right", true, part));
  if (type == "Replace")
    return std::make_unique<Replace>(replaced_pattern_at(step, part), string_at(step, "content", part));
  if (type == "Prepend") return std::make_unique<Prepend>(string_at(step, "prepend", part));
  if (type == "Precompiled") return charsmap_at(step, part);
  refuse_type(step, part,
              "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Nmt, Strip, Replace, Prepend, Precompiled, "
              "BertNormalizer, Sequence");
}

void add_normalizer(const json& step, const std::string& part, Normalizers& normalizers) {
  if (string_at(step, "type", part) != "BertNormalizer") {
    normalizers.push_back(plain_normalizer(step, part));
    return;
  }
  std::optional<bool> strip;
  if (!is_absent(step, "strip_accents")) strip = flag_at(step, "strip_accents", false, part);
  for (auto& part_step : bert_normalizer(flag_at(step, "clean_text", true, part),
                                         flag_at(step, "handle_chinese_chars", true, part), strip,
                                         flag_at(step, "lowercase", true, part)))
    normalizers.push_back(std::move(part_step));
}

Behavior behavior_at(const json& step, const std::string& part) {
  static const std::map<std::string, Behavior> kBehaviors = {
      {"Isolated", Behavior::isolated},
      {"Removed", Behavior::removed},
      {"MergedWithPrevious", Behavior::merged_with_previous},
      {"MergedWithNext", Behavior::merged_with_next},
      {"Contiguous", Behavior::contiguous}};
  const std::string name = string_at(step, "behavior", part);
  const auto found = kBehaviors.find(name);
  if (found == kBehaviors.end())
    fail_data(
        "{}: behavior '{}' is not supported (supported: Isolated, Removed, MergedWithPrevious, "
        "MergedWithNext, Contiguous)",
        part, name);
  return found->second;
}

std::unique_ptr<PreTokenizer> isolating(const char* pattern) {
  return std::make_unique<Split>(oniguruma_pattern(pattern), Behavior::isolated, false);
}

bool is_punctuation(char32_t c) {
  return bert_class(c) == BertClass::punctuation;
}

/// Files from before `prepend_scheme` have `add_prefix_space` instead.
Metaspace::Prepend prepend_scheme(const json& step, const std::string& part) {
  using Prepend = Metaspace::Prepend;
  const bool prefixed = flag_at(step, "add_prefix_space", true, part);
  if (is_absent(step, "prepend_scheme")) return prefixed ? Prepend::always : Prepend::never;
  const std::string name = string_at(step, "prepend_scheme", part);
  if (!prefixed && name != "never")
    fail_data("{}: prepend_scheme '{}' and add_prefix_space false contradict each other", part, name);
  if (name == "always") return Prepend::always;
  if (name == "first") return Prepend::first;
  if (name == "never") return Prepend::never;
  fail_data("{}: prepend_scheme '{}' is not supported (supported: always, first, never)", part, name);
}

/// What the pre-tokenizers leave to the model: characters, or bytes in GPT-2's alphabet.
struct PreTokenizerChain {
  PreTokenizers steps;
  bool byte_level = false;
};

std::unique_ptr<PreTokenizer> plain_pre_tokenizer(const json& step, const std::string& part) {
  const std::string type = string_at(step, "type", part);
  if (type == "Split")
    return std::make_unique<Split>(pattern_at(step, part), behavior_at(step, part),
                                   flag_at(step, "invert", false, part));
  if (type == "Digits")
    return isolating(flag_at(step, "individual_digits", false, part) ? R"(\p{N})" : R"(\p{N}+)");
  if (type == "Punctuation")
    return std::make_unique<SplitAt>(
        is_punctuation, is_absent(step, "behavior") ? Behavior::isolated : behavior_at(step, part));
  if (type == "BertPreTokenizer") return std::make_unique<BertWords>();
  if (type == "Whitespace") return std::make_unique<WordsAndSymbols>();
  if (type == "WhitespaceSplit") return std::make_unique<SplitAt>(is_white_space, Behavior::removed);
  if (type == "CharDelimiterSplit")
    return std::make_unique<Split>(literal_pattern(mark_at(step, "delimiter", part)), Behavior::removed,
                                   false);
  if (type == "Metaspace")
    return std::make_unique<Metaspace>(mark_at(step, "replacement", part), prepend_scheme(step, part),
                                       flag_at(step, "split", true, part));
  refuse_type(step, part,
              "ByteLevel, Split, Digits, Punctuation, BertPreTokenizer, Whitespace, WhitespaceSplit, "
              "CharDelimiterSplit, Metaspace, Sequence");
}

void add_pre_tokenizer(const json& step, const std::string& part, PreTokenizerChain& chain) {
  const std::string type = string_at(step, "type", part);
  if (chain.byte_level) fail_data("{}: '{}' behind ByteLevel is not supported", part, type);
  if (type != "ByteLevel") {
    chain.steps.push_back(plain_pre_tokenizer(step, part));
    return;
  }
  if (flag_at(step, "add_prefix_space", true, part)) chain.steps.push_back(std::make_unique<PrefixSpace>());
  if (flag_at(step, "use_regex", true, part)) chain.steps.push_back(isolating(kGpt2Pattern));
  chain.byte_level = true;
}

std::string suffix_at(const json& step, const std::string& part) {
  const std::string suffix = string_at(step, "suffix", part);
  if (suffix.empty()) fail_data("{}.suffix: expected at least one character", part);
  return suffix;
}

std::unique_ptr<TokenDecoder> decoder_of(const json& step, const std::string& part) {
  const std::string type = string_at(step, "type", part);
  if (type == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_unique<FuseDecoder>();
  if (type == "WordPiece")
    return std::make_unique<WordPieceDecoder>(
        is_absent(step, "prefix") ? "##" : string_at(step, "prefix", part),
        flag_at(step, "cleanup", true, part));
  if (type == "Metaspace")
    return std::make_unique<MetaspaceDecoder>(mark_at(step, "replacement", part),
                                              prepend_scheme(step, part) != Metaspace::Prepend::never);
  if (type == "Strip")
    return std::make_unique<StripDecoder>(mark_at(step, "content", part), count_at(step, "start", part),
                                          count_at(step, "stop", part));
  if (type == "Replace")
    return std::make_unique<ReplaceDecoder>(replaced_pattern_at(step, part),
                                            string_at(step, "content", part));
  if (type == "BPEDecoder") return std::make_unique<BpeDecoder>(suffix_at(step, part));
  refuse_type(step, part,
              "ByteLevel, ByteFallback, Fuse, WordPiece, Metaspace, Strip, Replace, BPEDecoder, Sequence");
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
  for_each_step(
      part_or_null(tokenizer, "normalizer"), "normalizers", "normalizer",
      [&](const json& step, const std::string& part) { add_normalizer(step, part, parts.normalizers); });
  PreTokenizerChain chain;
  for_each_step(part_or_null(tokenizer, "pre_tokenizer"), "pretokenizers", "pre_tokenizer",
                [&](const json& step, const std::string& part) { add_pre_tokenizer(step, part, chain); });
  read_model(model, chain.byte_level, parts);
  parts.pre_tokenizers = std::move(chain.steps);
  for_each_step(part_or_null(tokenizer, "post_processor"), "processors", "post_processor",
                [&](const json& step, const std::string& part) { add_post_processor(step, part, parts); });
  for_each_step(
      part_or_null(tokenizer, "decoder"), "decoders", "decoder",
      [&](const json& step, const std::string& part) { parts.decoders.push_back(decoder_of(step, part)); });
  if (parts.decoders.empty()) parts.decoders.push_back(std::make_unique<SpacedDecoder>());
  read_added_tokens(tokenizer, parts);
  return parts;
}

}  // namespace rocket
