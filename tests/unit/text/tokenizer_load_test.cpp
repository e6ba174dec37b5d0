// What load_tokenizer reads, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/tokenizer.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class TokenizerFolder : public testing::Test {
 protected:
  TokenizerFolder() { fs::create_directories(folder_); }
  ~TokenizerFolder() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }
  void write(const std::string& name, const json& content) const { write(name, content.dump()); }

  static json read(const std::string& path) {
    std::ifstream file(path);
    return json::parse(file);
  }

  std::vector<TokenId> ids(const std::string& text) const {
    return load_tokenizer(folder_)->ids_with_specials(text);
  }

  /// The message of the data error that loading ends in.
  std::string refusal() const {
    try {
      load_tokenizer(folder_);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      return e.what();
    }
    ADD_FAILURE() << "was not refused";
    return {};
  }

  /// refusal() of a good file with one change.
  std::string refusal_of(const std::string& original, const std::string& place, const json& value) const {
    json tokenizer = read(original);
    tokenizer[json::json_pointer(place)] = value;
    write("tokenizer.json", tokenizer);
    return refusal();
  }

  const fs::path folder_ = fs::temp_directory_path() / ("rocket_tokenizer_" + std::to_string(getpid()));
};

const char* const kQwen = "tests/data/tokenizers/qwen2_like/tokenizer.json";
const char* const kBert = "tests/data/tokenizers/bert_like/tokenizer.json";

TEST_F(TokenizerFolder, RefusesUnknownPartsByName) {
  EXPECT_THAT(refusal_of(kQwen, "/model/type", "Unigram"),
              HasSubstr("tokenizer.json: model: type 'Unigram'"));
  EXPECT_THAT(refusal_of(kQwen, "/normalizer/type", "Nmt"), HasSubstr("normalizer: type 'Nmt'"));
  EXPECT_THAT(refusal_of(kQwen, "/pre_tokenizer/pretokenizers/0/type", "Metaspace"),
              HasSubstr("pre_tokenizer.pretokenizers[0]: type 'Metaspace'"));
  EXPECT_THAT(refusal_of(kQwen, "/pre_tokenizer/pretokenizers/0/behavior", "MergedWithNext"),
              HasSubstr("MergedWithNext"));
  EXPECT_THAT(refusal_of(kQwen, "/decoder/type", "ByteFallback"), HasSubstr("decoder: type 'ByteFallback'"));
  EXPECT_THAT(refusal_of(kQwen, "/post_processor/type", "Xyz"), HasSubstr("post_processor: type 'Xyz'"));
  EXPECT_THAT(refusal_of(kQwen, "/pre_tokenizer", nullptr), HasSubstr("BPE without a ByteLevel"));
  EXPECT_THAT(refusal_of(kQwen, "/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(refusal_of(kQwen, "/model/end_of_word_suffix", "</w>"), HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(refusal_of(kQwen, "/model/byte_fallback", true), HasSubstr("byte_fallback"));
}

TEST_F(TokenizerFolder, RefusesBrokenParts) {
  EXPECT_THAT(refusal_of(kQwen, "/model/vocab/a", -1), HasSubstr("model.vocab 'a'"));
  EXPECT_THAT(refusal_of(kQwen, "/model/vocab/a", 3000000000u), HasSubstr("model.vocab 'a'"));
  EXPECT_THAT(refusal_of(kQwen, "/model/vocab/a", "1"), HasSubstr("model.vocab 'a'"));
  EXPECT_THAT(refusal_of(kQwen, "/model/merges/0", "a b c"), HasSubstr("model.merges[0]"));
  EXPECT_THAT(refusal_of(kQwen, "/model/merges/0", json{"zq", "qz"}),
              HasSubstr("'zq' is not in the vocabulary"));
  EXPECT_THAT(refusal_of(kQwen, "/model/merges", 7), HasSubstr("model.merges: expected a list"));
  EXPECT_THAT(refusal_of(kQwen, "/added_tokens/0/content", 7), HasSubstr("added_tokens[0].content"));
  EXPECT_THAT(refusal_of(kBert, "/model/unk_token", "[NO]"), HasSubstr("'[NO]'"));
  EXPECT_THAT(refusal_of(kBert, "/post_processor/cls", json{"[CLS]"}), HasSubstr("post_processor.cls"));
  EXPECT_THAT(refusal_of("tests/lab/encoder/tokenizer.json", "/post_processor/single", json::array()),
              HasSubstr("expected the text once"));
  write("tokenizer.json", std::string("{\"model\": "));
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json"));
  write("tokenizer.json", std::string("[]"));
  EXPECT_THAT(refusal(), HasSubstr("expected an object"));
}

TEST_F(TokenizerFolder, RefusesPatternsThatTwoEnginesReadDifferently) {
  const std::string place = "/pre_tokenizer/pretokenizers/0/pattern/Regex";
  for (const char* pattern : {"^a", "a$", "\\h+", "[a&&b]", "[a[b]]", "a{2}+", "(?m:a)", "\\w+", "\\bx",
                              "\\p{Han}", "a{,3}", "[^\\S]", "\\1", "\\"})
    EXPECT_THAT(refusal_of(kQwen, place, pattern), HasSubstr("is not supported")) << pattern;
  EXPECT_THAT(refusal_of(kQwen, place, "(a"), HasSubstr("pattern `(a`"));
}

TEST_F(TokenizerFolder, IgnoreMergesTakesAWordOfTheVocabularyWhole) {
  json tokenizer = {
      {"model",
       {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"aba", 2}, {"ab", 3}}}, {"merges", {"a b"}}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}};
  write("tokenizer.json", tokenizer);
  EXPECT_EQ(ids("aba"), (std::vector<TokenId>{3, 0}));
  tokenizer["model"]["ignore_merges"] = true;
  write("tokenizer.json", tokenizer);
  EXPECT_EQ(ids("aba"), std::vector<TokenId>{2});
  EXPECT_EQ(ids("abaa"), (std::vector<TokenId>{3, 0, 0}));
}

TEST_F(TokenizerFolder, AddedTokensGetTheNextIdsWhateverTheFileSays) {
  json tokenizer = read("tests/lab/base/tokenizer.json");
  tokenizer["added_tokens"].push_back({{"id", 2000}, {"content", "<X>"}, {"special", true}});
  tokenizer["added_tokens"].push_back({{"id", 77}, {"content", "hello"}});
  write("tokenizer.json", tokenizer);
  EXPECT_EQ(load_tokenizer(folder_)->id_of("<X>"), 1444);
  EXPECT_EQ(load_tokenizer(folder_)->id_of("hello"), 1445);
}

TEST_F(TokenizerFolder, DeepNestingIsRefused) {
  write("tokenizer.json", std::string(1'000'000, '['));
  EXPECT_THAT(refusal(), HasSubstr("levels of JSON"));
  write("tokenizer.json", R"({"model": {"vocab": {"[[\"[": )" + std::string(1'000'000, '['));
  EXPECT_THAT(refusal(), HasSubstr("levels of JSON"));
}

TEST_F(TokenizerFolder, SpecialsOfTheConfigAreTextOrObjects) {
  fs::copy(kQwen, folder_ / "tokenizer.json");
  EXPECT_FALSE(load_tokenizer(folder_)->eos());
  write("tokenizer_config.json", json{{"eos_token", "<|im_end|>"}, {"bos_token", nullptr}});
  EXPECT_EQ(load_tokenizer(folder_)->eos(), load_tokenizer(folder_)->id_of("<|im_end|>"));
  EXPECT_FALSE(load_tokenizer(folder_)->bos());
  write("tokenizer_config.json", json{{"eos_token", {{"content", "</s>"}, {"lstrip", false}}}});
  EXPECT_EQ(load_tokenizer(folder_)->eos(), load_tokenizer(folder_)->id_of("</s>"));
  write("tokenizer_config.json", json{{"eos_token", 7}});
  EXPECT_THAT(refusal(), HasSubstr("eos_token"));
}

TEST_F(TokenizerFolder, AddBosTokenHoldsWhereThePostProcessorIsSilent) {
  fs::copy(kQwen, folder_ / "tokenizer.json");
  write("tokenizer_config.json", json{{"bos_token", "<|im_start|>"}, {"add_bos_token", true}});
  auto tokenizer = load_tokenizer(folder_);
  EXPECT_EQ(tokenizer->leading_specials(), std::vector<TokenId>{*tokenizer->id_of("<|im_start|>")});
  write("tokenizer_config.json", json{{"bos_token", "<|im_start|>"}, {"add_bos_token", false}});
  EXPECT_TRUE(load_tokenizer(folder_)->leading_specials().empty());
  fs::copy("tests/lab/base/tokenizer.json", folder_ / "tokenizer.json", fs::copy_options::overwrite_existing);
  write("tokenizer_config.json", json{{"bos_token", "</s>"}, {"add_bos_token", true}});
  EXPECT_EQ(load_tokenizer(folder_)->leading_specials(), std::vector<TokenId>{1});
}

TEST_F(TokenizerFolder, WithoutTokenizerJsonTheClassDecides) {
  // Both read "ab" + "12": GPT-2 keeps the digits together and Qwen2 cuts them.
  write("vocab.json", json{{"a", 0}, {"b", 1}, {"1", 2}, {"2", 3}, {"ab", 4}, {"12", 5}, {"Ġ", 6}});
  write("merges.txt", std::string("#version: 0.2\na b\n1 2\n"));
  write("tokenizer_config.json", json{{"tokenizer_class", "GPT2Tokenizer"}});
  EXPECT_EQ(ids("ab12"), (std::vector<TokenId>{4, 5}));
  EXPECT_EQ(ids("a<|endoftext|>"), (std::vector<TokenId>{0, 7}));
  EXPECT_EQ(load_tokenizer(folder_)->eos(), 7);
  write("tokenizer_config.json", json{{"tokenizer_class", "Qwen2Tokenizer"}, {"eos_token", "<|im_end|>"}});
  EXPECT_EQ(ids("ab12"), (std::vector<TokenId>{4, 2, 3}));
  EXPECT_TRUE(load_tokenizer(folder_)->leading_specials().empty());
  write("tokenizer_config.json", json{{"tokenizer_class", "LlamaTokenizer"}});
  EXPECT_THAT(refusal(), HasSubstr("'LlamaTokenizer' is not supported without one"));
  write("tokenizer_config.json", json::object());
  EXPECT_THAT(refusal(), HasSubstr("no tokenizer.json, and neither tokenizer_class"));
  write("config.json", json{{"model_type", "gpt2"}});
  EXPECT_EQ(ids("ab12"), (std::vector<TokenId>{4, 5}));
}

TEST_F(TokenizerFolder, ReadsBertFromItsVocabulary) {
  write("vocab.txt", std::string("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncafe\n##s\nCafé\n.\n"));
  write("tokenizer_config.json", json{{"tokenizer_class", "BertTokenizer"}});
  EXPECT_EQ(ids("Cafés. [MASK]x"), (std::vector<TokenId>{2, 5, 6, 8, 4, 1, 3}));
  EXPECT_EQ(load_tokenizer(folder_)->decode(std::vector<TokenId>{2, 5, 6, 8, 3}, true), "cafes.");
  write("tokenizer_config.json", json{{"tokenizer_class", "BertTokenizer"}, {"do_lower_case", false}});
  EXPECT_EQ(ids("Cafés."), (std::vector<TokenId>{2, 7, 6, 8, 3}));
  write("vocab.txt", std::string("[UNK]\ncafe\n"));
  EXPECT_THAT(refusal(), HasSubstr("[CLS]"));
}

TEST_F(TokenizerFolder, FilesThatAreNotThereAreNamed) {
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json"));
  write("tokenizer_config.json", json{{"tokenizer_class", "GPT2Tokenizer"}});
  EXPECT_THAT(refusal(), HasSubstr("merges.txt"));
}

}  // namespace
}  // namespace rocket
