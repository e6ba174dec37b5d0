#include "text/tokenizer_sentencepiece.h"

#include <string_view>
#include <unordered_set>

#include "base/error.h"
#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace rocket {

namespace {

using nlohmann::json;

constexpr std::size_t kOwnSpecials = 3;  // XLM-R's model begins with <unk>, <s>, </s>

void require_kind(const SentencePieceModel& model, SentencePieceModel::Kind kind, const char* expected) {
  if (model.kind == kind) return;
  static const char* const kNames[] = {"", "Unigram", "BPE", "words", "characters"};
  fail_data("trainer_spec: a model of kind {}, expected {} for this tokenizer_class",
            kNames[static_cast<int>(model.kind)], expected);
}

/// SentencePiece stores no merges: a pair merges if it makes a piece, the sooner the smaller that one's id.
json merges_of(const SentencePieceModel& model) {
  std::unordered_set<std::string_view> texts;
  for (const SentencePiece& piece : model.pieces) texts.insert(piece.text);
  json merges = json::array();
  for (const SentencePiece& piece : model.pieces) {
    const std::string_view text = piece.text;
    std::size_t cut = 0;
    for (next_code_point(text, cut); cut < text.size(); next_code_point(text, cut))
      if (texts.contains(text.substr(0, cut)) && texts.contains(text.substr(cut)))
        merges.push_back({text.substr(0, cut), text.substr(cut)});
  }
  return merges;
}

json added_tokens_of(const SentencePieceModel& model) {
  json added = json::array();
  for (const SentencePiece& piece : model.pieces) {
    const bool special = piece.type == SentencePiece::Type::control;
    if (special || piece.type == SentencePiece::Type::user_defined)
      added.push_back({{"content", piece.text}, {"special", special}, {"normalized", false}});
  }
  return added;
}

json metaspace(const char* prepend_scheme, bool split) {
  return {{"type", "Metaspace"},
          {"replacement", kSpaceMark},
          {"prepend_scheme", prepend_scheme},
          {"split", split}};
}

}  // namespace

json llama_tokenizer(const SentencePieceModel& model, const LlamaOptions& options) {
  require_kind(model, SentencePieceModel::Kind::bpe, "BPE");
  json vocabulary = json::object();
  for (std::size_t id = 0; id < model.pieces.size(); ++id) vocabulary[model.pieces[id].text] = id;
  json decoders = json::array({{{"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}},
                               {{"type", "ByteFallback"}},
                               {{"type", "Fuse"}}});
  if (options.add_prefix_space)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  const char* const prepend = !options.add_prefix_space ? "never" : options.legacy ? "always" : "first";
  return {{"model",
           {{"type", "BPE"},
            {"vocab", std::move(vocabulary)},
            {"merges", merges_of(model)},
            {"fuse_unk", true},
            {"byte_fallback", true}}},
          {"added_tokens", added_tokens_of(model)},
          {"pre_tokenizer", metaspace(prepend, false)},
          {"decoder", {{"type", "Sequence"}, {"decoders", std::move(decoders)}}}};
}

json xlm_roberta_tokenizer(const SentencePieceModel& model, const XlmRobertaOptions& options) {
  require_kind(model, SentencePieceModel::Kind::unigram, "Unigram");
  if (model.pieces.size() < kOwnSpecials)
    fail_data("pieces: expected at least {}, found {}", kOwnSpecials, model.pieces.size());
  json vocabulary = json::array();
  for (const std::string& token : {options.bos, options.pad, options.eos, options.unk})
    vocabulary.push_back({token, 0.0});
  for (std::size_t id = kOwnSpecials; id < model.pieces.size(); ++id)
    vocabulary.push_back({model.pieces[id].text, double{model.pieces[id].score}});
  vocabulary.push_back({options.mask, 0.0});
  const auto special = [](const std::string& token) { return json{{"SpecialToken", {{"id", token}}}}; };
  const json ids = {{options.bos, {{"ids", {0}}}}, {options.eos, {{"ids", {2}}}}};
  const char* const prepend = options.add_prefix_space ? "always" : "never";
  const json pre_tokenizers = json::array({{{"type", "WhitespaceSplit"}}, metaspace(prepend, true)});
  json tokenizer = {
      {"model", {{"type", "Unigram"}, {"unk_id", 3}, {"vocab", std::move(vocabulary)}}},
      {"added_tokens", added_tokens_of(model)},
      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", pre_tokenizers}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", json::array({special(options.bos), {{"Sequence", {{"id", "A"}}}}, special(options.eos)})},
        {"special_tokens", ids}}},
      {"decoder", metaspace(prepend, true)}};
  if (!model.precompiled_charsmap.empty())
    tokenizer["normalizer"] = {{"type", "Precompiled"},
                               {"precompiled_charsmap", json::binary({model.precompiled_charsmap.begin(),
                                                                      model.precompiled_charsmap.end()})}};
  return tokenizer;
}

}  // namespace rocket
