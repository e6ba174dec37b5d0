// Against the `tokenizers` library and transformers: tests/parity/make_tokenizer_reference.py and
// make_sentencepiece_reference.py.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "text/tokenizer.h"

namespace rocket {
namespace {

using nlohmann::json;

const Tokenizer& tokenizer_named(const std::string& name) {
  static std::map<std::string, std::unique_ptr<Tokenizer>> loaded;
  auto& tokenizer = loaded[name];
  if (!tokenizer)
    tokenizer = load_tokenizer(name == "lab_base"      ? "tests/lab/base"
                               : name == "lab_encoder" ? "tests/lab/encoder"
                                                       : "tests/data/tokenizers/" + name);
  return *tokenizer;
}

std::vector<json> encodings() {
  std::vector<json> result;
  for (const char* name : {"encodings.jsonl", "sentencepiece_encodings.jsonl"}) {
    std::ifstream file(std::string("tests/data/tokenizers/") + name);
    for (std::string line; std::getline(file, line);) result.push_back(json::parse(line));
  }
  return result;
}

/// Widened to whole characters, as the library counts them; rocket knows the bytes of each token.
Token whole_characters(const std::string& text, Token token) {
  const auto inside = [&](std::int64_t at) {
    return at < static_cast<std::int64_t>(text.size()) &&
           (static_cast<unsigned char>(text[static_cast<std::size_t>(at)]) & 0xC0) == 0x80;
  };
  while (inside(token.begin)) --token.begin;
  while (inside(token.end)) ++token.end;
  return token;
}

TEST(TokenizerReference, GivesTheIdsOfTheLibrary) {
  const auto expected = encodings();
  ASSERT_GT(expected.size(), 1600u);
  for (const json& e : expected) {
    SCOPED_TRACE(e["tokenizer"].dump() + " " + e["text"].dump());
    const Tokenizer& tokenizer = tokenizer_named(e["tokenizer"]);
    std::vector<TokenId> plain;
    for (const Token& token : tokenizer.encode(e["text"].get<std::string>())) plain.push_back(token.id);
    EXPECT_EQ(plain, e["plain"].get<std::vector<TokenId>>());
    EXPECT_EQ(tokenizer.ids_with_specials(e["text"].get<std::string>()),
              e["ids"].get<std::vector<TokenId>>());
  }
}

TEST(TokenizerReference, GivesTheOffsetsOfTheLibrary) {
  std::size_t compared = 0;
  for (const json& e : encodings()) {
    if (e["offsets"].is_null()) continue;
    SCOPED_TRACE(e["tokenizer"].dump() + " " + e["text"].dump());
    const std::string text = e["text"];
    json offsets = json::array();
    for (const Token& token : tokenizer_named(e["tokenizer"]).encode(text)) {
      const Token whole = whole_characters(text, token);
      offsets.push_back({whole.begin, whole.end});
    }
    EXPECT_EQ(offsets, e["offsets"]);
    ++compared;
  }
  EXPECT_GT(compared, 1200u);
}

TEST(TokenizerReference, GivesTheDecodesOfTheLibrary) {
  for (const json& e : encodings()) {
    SCOPED_TRACE(e["tokenizer"].dump() + " " + e["text"].dump());
    const Tokenizer& tokenizer = tokenizer_named(e["tokenizer"]);
    const auto ids = e["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.decode(ids, false), e["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, true), e["decoded_without_specials"].get<std::string>());
  }
}

TEST(TokenizerReference, TokensOfABytewiseTokenizerCoverTheText) {
  for (const json& e : encodings()) {
    if (e["tokenizer"] != "lab_base" && e["tokenizer"] != "llama3_like") continue;
    const std::string text = e["text"];
    std::int64_t done = 0;
    for (const Token& token : tokenizer_named(e["tokenizer"]).encode(text)) {
      EXPECT_EQ(token.begin, done) << text;
      done = token.end;
    }
    EXPECT_EQ(done, static_cast<std::int64_t>(text.size())) << text;
  }
}

}  // namespace
}  // namespace rocket
