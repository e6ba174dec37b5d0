// Fuzz targets of src/text: any bytes are either refused or read into records with places, and into
// tokenizers whose ids are of their vocabulary, or chat templates that come to an end.
#pragma once

#include <ctime>
#include <nlohmann/json.hpp>

#include "fuzz/reader_target.h"
#include "text/chat_template.h"
#include "text/decontamination.h"
#include "text/jinja/template.h"
#include "text/record.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_sentencepiece.h"
#include "text/unicode.h"

namespace rocket::fuzz {

inline void records_named(const std::string& name, std::string_view bytes) {
  read_as_file(name, bytes, [&](const std::filesystem::path& folder) {
    std::int64_t last = 0;
    const auto check = [&](Record&& record) {
      require(record.line >= last && record.line > 0);
      require(record.system_bytes <= record.context_bytes);
      require(record.context_bytes <= record.instruction.size());
      last = record.line;
      decontamination_key(record);
    };
    for_each_record(folder / name, {{"answer", "a.b"}}, check);
    last = 0;
    for_each_record(folder / name, {}, check, Turns::all);
  });
}

inline void records(std::string_view bytes) {
  records_named("x.jsonl", bytes);
  records_named("x.json", bytes);
}

/// Tokens lie in the text, and come back as text.
inline void use(const Tokenizer& tokenizer) {
  const std::string text =
      "Hi  w\u00f6rld, it's 12.5%\n\t\u2581\uff21e\u0301 <s>\u4f60\U0001f44d\u200d\xff</s> ";
  try {
    std::vector<TokenId> ids = tokenizer.ids_with_specials(text);
    for (const Token& token : tokenizer.encode(text)) {
      require(token.id >= 0 && token.id < tokenizer.vocabulary());
      require(token.begin >= 0 && token.begin <= token.end);
      require(token.end <= static_cast<std::int64_t>(text.size()));
    }
    ids.push_back(-1);
    tokenizer.decode(ids, true);
    tokenizer.decode(ids, false);
  } catch (const Error& e) {  // a pattern may backtrack without end
    if (e.code() != ExitCode::data) throw;
  }
}

inline void tokenizer_json(std::string_view bytes) {
  read_as_file("tokenizer.json", bytes,
               [](const std::filesystem::path& folder) { use(*load_tokenizer(folder)); });
}

inline void sentencepiece_model(std::string_view bytes) {
  read_as_file("x.model", bytes, [](const std::filesystem::path& folder) {
    const SentencePieceModel model = read_sentencepiece_model(folder / "x.model");
    require(!model.pieces.empty());
    in_context("x.model", [&] {
      const bool bpe = model.kind == SentencePieceModel::Kind::bpe;
      const XlmRobertaOptions xlm{"<s>", "<pad>", "</s>", "<unk>", "<mask>", true};
      use(*make_tokenizer(
          tokenizer_parts(bpe ? llama_tokenizer(model, {}) : xlm_roberta_tokenizer(model, xlm)), {}));
    });
  });
}

/// tokenizer_config.json as the place of chat templates, of one or of several.
inline void tokenizer_config(std::string_view bytes) {
  read_as_file("tokenizer_config.json", bytes, [](const std::filesystem::path& folder) {
    in_context("tokenizer_config.json", [&] {
      const ChatTemplate found(folder, {});
      require(found.file().find("chat_template") != std::string::npos && !found.others().contains("default"));
    });
  });
}

/// What a chat template may read.
inline const jinja::Dict& chat_variables() {
  static const jinja::Value variables = jinja::from_json(nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "na\u00efve \u5929 <b>?"},
                 {"role": "assistant", "content": "<think>a</think>\n\nb", "tool_calls": [
                   {"function": {"name": "f", "arguments": {"x": [1, 2.5, null, true], "y": "z"}}}]},
                 {"role": "user", "content": [{"type": "text", "text": "in parts"}]}, {"role": "tool", "content": ""}],
    "tools": [{"function": {"name": "f", "parameters": {"type": "object", "properties": {
      "x": {"type": "array"}, "y": {"type": "string", "enum": ["a", "b"]}}}}}],
    "documents": null, "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})"));
  return *variables.dict();
}

/// A template comes to an end within its limits, and writes UTF-8.
inline void chat_template(std::string_view bytes) {
  const jinja::Limits limits{.steps = 100'000, .bytes = 1 << 24, .depth = 200};
  std::tm day{};
  day.tm_mday = 26;
  try {
    const jinja::Template parsed(bytes, "x.jinja");
    const std::string text = parsed.render(chat_variables(), day, limits);
    require(is_utf8(text) && static_cast<std::int64_t>(text.size()) <= limits.bytes);
  } catch (const Error& e) {
    require(e.code() == ExitCode::data && std::string_view(e.what()).starts_with("x.jinja:"));
  }
}

}  // namespace rocket::fuzz
