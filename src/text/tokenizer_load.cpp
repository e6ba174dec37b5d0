// Which files of a model folder say how it tokenises.
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "formats/file_kind.h"
#include "formats/json_problem.h"
#include "formats/json_reader.h"
#include "formats/model_folder.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_sentencepiece.h"
#include "text/tokenizer_settings.h"

namespace rocket {

namespace {

using nlohmann::json;

/// More levels than this would end the program while the value is copied; tokenizers have about six.
constexpr int kMaxDepth = 64;

bool is_too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') in_string = !in_string;
    if (in_string && c == '\\') ++at;
    if (in_string) continue;
    if ((c == '[' || c == '{') && ++depth > kMaxDepth) return true;
    if (c == ']' || c == '}') --depth;
  }
  return false;
}

/// A file with a vocabulary: too large for the bookkeeping of parse_json, which triples the time.
json parse_large(const fs::path& file) {
  const std::string text = read_file(file);
  if (is_too_deep(text)) fail_data("{}: more than {} levels of JSON", file.string(), kMaxDepth);
  try {
    return json::parse(text);
  } catch (const json::parse_error& e) {
    fail_json_file(file.string(), text, e.byte, e.what());
  } catch (const json::exception& e) {
    fail_data("{}: no valid JSON: {}", file.string(), e.what());
  }
}

/// The settings as far as they matter here.
class TokenizerConfig {
 public:
  explicit TokenizerConfig(json values) : values_(std::move(values)) {}

  std::optional<std::string> token(const std::string& key) const { return token_in(values_, key); }

  bool flag(const std::string& key, bool absent) const {
    const auto found = values_.find(key);
    if (found == values_.end() || found->is_null()) return absent;
    if (!found->is_boolean()) fail_data("tokenizer_config.json: {}: expected true or false", key);
    return found->get<bool>();
  }

  const json& value(const std::string& key) const {
    static const json null;
    const auto found = values_.find(key);
    return found == values_.end() ? null : *found;
  }

  /// Tokens that this file names, as special added tokens unless it says more about them.
  std::vector<AddedToken> named_tokens() const {
    std::vector<AddedToken> tokens = described_tokens();
    for (const char* key :
         {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"})
      add_special(value(key), key, tokens);
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"})
      for (const json& entry : value(key)) add_special(entry, key, tokens);
    return tokens;
  }

 private:
  static void add_special(const json& entry, const std::string& key, std::vector<AddedToken>& tokens) {
    const auto content = token_in(json{{key, entry}}, key);
    if (!content) return;
    AddedToken token{*content, true};
    if (entry.is_object()) token = added_token(entry, "tokenizer_config.json: " + key);
    token.special = true;
    tokens.push_back(token);
  }

  /// `added_tokens_decoder` in the order of its ids.
  std::vector<AddedToken> described_tokens() const {
    std::map<std::int64_t, AddedToken> by_id;
    const json& described = value("added_tokens_decoder");
    if (described.is_null()) return {};
    if (!described.is_object()) fail_data("tokenizer_config.json: added_tokens_decoder: expected an object");
    for (const auto& [key, token] : described.items()) {
      std::int64_t id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id < 0)
        fail_data("tokenizer_config.json: added_tokens_decoder: '{}' is no token id", key);
      by_id[id] = added_token(token, "tokenizer_config.json: added_tokens_decoder." + key);
    }
    std::vector<AddedToken> tokens;
    for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
    return tokens;
  }

  json values_;
};

enum class Family { gpt2, qwen2, bert, llama, xlm_roberta };

/// `tokenizer_class`, as the slow class is called; old folders have none, but a model type that comes with
/// one tokenizer only. May be empty.
std::string class_of(const fs::path& folder, const TokenizerConfig& config) {
  const json model = object_in(folder / "config.json");
  std::string name = config.token("tokenizer_class").value_or("");
  if (name.empty() && model.contains("model_type") && model["model_type"].is_string())
    name = model["model_type"];
  return name.ends_with("TokenizerFast") ? name.substr(0, name.size() - 4) : name;
}

Family family_of(const fs::path& folder, const TokenizerConfig& config) {
  const std::string name = class_of(folder, config);
  static const std::map<std::string, Family> kFamilies = {{"GPT2Tokenizer", Family::gpt2},
                                                          {"gpt2", Family::gpt2},
                                                          {"Qwen2Tokenizer", Family::qwen2},
                                                          {"qwen2", Family::qwen2},
                                                          {"BertTokenizer", Family::bert},
                                                          {"bert", Family::bert},
                                                          {"LlamaTokenizer", Family::llama},
                                                          {"llama", Family::llama},
                                                          {"XLMRobertaTokenizer", Family::xlm_roberta},
                                                          {"xlm-roberta", Family::xlm_roberta}};
  const auto family = kFamilies.find(name);
  if (family != kFamilies.end()) return family->second;
  if (name.empty()) {
    refuse_other_folder(folder);
    fail_data(
        "{}: no tokenizer.json, and neither tokenizer_class in tokenizer_config.json nor model_type in "
        "config.json says how to read the vocabulary; save it with transformers' save_pretrained",
        folder.string());
  }
  fail_data(
      "{}: no tokenizer.json, and the tokenizer of '{}' is not supported without one (supported: "
      "GPT2Tokenizer, Qwen2Tokenizer, BertTokenizer, LlamaTokenizer, XLMRobertaTokenizer); save it with "
      "transformers' save_pretrained",
      folder.string(), name);
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> lines;
  const std::string text = read_file(file);
  refuse_other_kinds(text, file.string(), "a text of one entry a line");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    at = end + 1;
  }
  return lines;
}

json bpe_files(const fs::path& folder) {
  json merges = json::array();
  for (const std::string& line : lines_of(folder / "merges.txt"))
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
  return {{"type", "BPE"}, {"vocab", parse_large(folder / "vocab.json")}, {"merges", std::move(merges)}};
}

json gpt2_tokenizer(const fs::path& folder, const TokenizerConfig& config) {
  return {{"model", bpe_files(folder)},
          {"pre_tokenizer",
           {{"type", "ByteLevel"}, {"add_prefix_space", config.flag("add_prefix_space", false)}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

json qwen2_tokenizer(const fs::path& folder, const TokenizerConfig& config) {
  const char* const pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const json split = {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
  const json bytes = {{"type", "ByteLevel"},
                      {"add_prefix_space", config.flag("add_prefix_space", false)},
                      {"use_regex", false}};
  return {{"model", bpe_files(folder)},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", json::array({split, bytes})}}},
          {"decoder", {{"type", "ByteLevel"}}}};
}

json bert_normalizer(const TokenizerConfig& config) {
  return {{"type", "BertNormalizer"},
          {"handle_chinese_chars", config.flag("tokenize_chinese_chars", true)},
          {"strip_accents", config.value("strip_accents")},
          {"lowercase", config.flag("do_lower_case", true)}};
}

json bert_tokenizer(const fs::path& folder, const TokenizerConfig& config) {
  json vocabulary = json::object();
  const std::vector<std::string> lines = lines_of(folder / "vocab.txt");
  for (std::size_t id = 0; id < lines.size(); ++id) vocabulary[lines[id]] = id;
  const auto end_token = [&](const char* key, const char* otherwise) -> json {
    const std::string token = config.token(key).value_or(otherwise);
    if (!vocabulary.contains(token)) fail_data("vocab.txt: the vocabulary lacks the {} '{}'", key, token);
    return json::array({token, vocabulary[token]});
  };
  const json bert = {{"type", "BertProcessing"},
                     {"cls", end_token("cls_token", "[CLS]")},
                     {"sep", end_token("sep_token", "[SEP]")}};
  return {{"model",
           {{"type", "WordPiece"},
            {"vocab", vocabulary},
            {"unk_token", config.token("unk_token").value_or("[UNK]")}}},
          {"normalizer", bert_normalizer(config)},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor", bert},
          {"decoder", {{"type", "WordPiece"}}}};
}

json llama_tokenizer(const fs::path& folder, const TokenizerConfig& config) {
  const SentencePieceModel model = read_sentencepiece_model(folder / "tokenizer.model");
  return in_context("tokenizer.model", [&] {
    return llama_tokenizer(model, {.legacy = config.flag("legacy", false),
                                   .add_prefix_space = config.flag("add_prefix_space", true)});
  });
}

json xlm_roberta_tokenizer(const fs::path& folder, const TokenizerConfig& config) {
  const SentencePieceModel model = read_sentencepiece_model(folder / "sentencepiece.bpe.model");
  const auto token = [&](const char* key) { return config.token(key).value_or(""); };
  return in_context("sentencepiece.bpe.model", [&] {
    return xlm_roberta_tokenizer(model, {.bos = token("bos_token"),
                                         .pad = token("pad_token"),
                                         .eos = token("eos_token"),
                                         .unk = token("unk_token"),
                                         .mask = token("mask_token"),
                                         .add_prefix_space = config.flag("add_prefix_space", true)});
  });
}

json old_files(Family family, const fs::path& folder, const TokenizerConfig& config) {
  switch (family) {
    case Family::gpt2:
      return gpt2_tokenizer(folder, config);
    case Family::qwen2:
      return qwen2_tokenizer(folder, config);
    case Family::bert:
      return bert_tokenizer(folder, config);
    case Family::llama:
      return llama_tokenizer(folder, config);
    case Family::xlm_roberta:
      return xlm_roberta_tokenizer(folder, config);
  }
  fail_internal("a family of tokenizers without a reader");
}

/// What the class of the tokenizer names where tokenizer_config.json does not.
json class_defaults(Family family) {
  const char* const end = "<|endoftext|>";
  if (family == Family::gpt2) return {{"bos_token", end}, {"eos_token", end}, {"unk_token", end}};
  if (family == Family::qwen2) return {{"eos_token", end}, {"pad_token", end}, {"unk_token", end}};
  if (family == Family::llama) return {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  if (family == Family::xlm_roberta)
    return {{"bos_token", "<s>"},   {"eos_token", "</s>"},  {"sep_token", "</s>"},   {"cls_token", "<s>"},
            {"unk_token", "<unk>"}, {"pad_token", "<pad>"}, {"mask_token", "<mask>"}};
  return {{"unk_token", "[UNK]"},
          {"sep_token", "[SEP]"},
          {"pad_token", "[PAD]"},
          {"cls_token", "[CLS]"},
          {"mask_token", "[MASK]"}};
}

/// `add_specials`: whether add_bos_token and add_eos_token count.
std::unique_ptr<Tokenizer> finish(TokenizerParts parts, const TokenizerConfig& config, bool add_specials,
                                  bool lower_case) {
  if (lower_case) parts.normalizers.insert(parts.normalizers.begin(), std::make_unique<Lowercase>());
  for (AddedToken& token : config.named_tokens()) parts.added.push_back(std::move(token));
  return make_tokenizer(std::move(parts), {config.token("eos_token"), config.token("bos_token"),
                                           add_specials && config.flag("add_bos_token", false),
                                           add_specials && config.flag("add_eos_token", false)});
}

std::unique_ptr<Tokenizer> load_old_files(const fs::path& folder, const json& values, bool lower_case) {
  const Family family = family_of(folder, TokenizerConfig(values));
  if (fs::exists(folder / "added_tokens.json") && !values.contains("added_tokens_decoder"))
    fail_data(
        "{}: added_tokens.json without tokenizer.json is not supported; save the tokenizer with "
        "transformers' "
        "save_pretrained",
        folder.string());
  json with_defaults = class_defaults(family);
  with_defaults.update(values);
  const TokenizerConfig config(std::move(with_defaults));
  return in_context(folder.string(), [&] {
    return finish(tokenizer_parts(old_files(family, folder, config)), config, true, lower_case);
  });
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& folder, bool lower_case) {
  const json values = tokenizer_settings(folder);
  const fs::path file = folder / "tokenizer.json";
  if (!fs::exists(file)) return load_old_files(folder, values, lower_case);
  const TokenizerConfig config(values);
  json tokenizer = parse_large(file);
  if (const std::string name = class_of(folder, config); name == "BertTokenizer" || name == "bert")
    tokenizer["normalizer"] = bert_normalizer(config);
  TokenizerParts parts = in_context(file.string(), [&] { return tokenizer_parts(tokenizer); });
  // Where there is a tokenizer.json, its post-processor alone decides in transformers, of every class.
  return in_context(folder.string(), [&] { return finish(std::move(parts), config, false, lower_case); });
}

}  // namespace rocket
