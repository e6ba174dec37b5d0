// What load_tokenizer reads, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

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
const char* const kLlama = "tests/data/tokenizers/llama2_like/tokenizer.json";
const char* const kXlmr = "tests/data/tokenizers/xlmr_like/tokenizer.json";
const char* const kT5 = "tests/data/tokenizers/t5_like/tokenizer.json";

/// As transformers 5 loads the same folders: of the class BertTokenizer tokenizer_config.json decides, of
/// others tokenizer.json.
TEST_F(TokenizerFolder, TheClassOfBertLowersTextsAsItsSettingsSay) {
  json tokenizer = read("tests/data/tokenizers/bert_like/tokenizer.json");
  for (const char* name : {"BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast"})
    for (const json& setting : {json(nullptr), json(true), json(false)})
      for (const bool in_file : {true, false}) {
        SCOPED_TRACE(std::string(name) + " " + setting.dump() + (in_file ? " lower" : ""));
        tokenizer["normalizer"] = {{"type", "BertNormalizer"},
                                   {"clean_text", true},
                                   {"handle_chinese_chars", true},
                                   {"strip_accents", nullptr},
                                   {"lowercase", in_file}};
        write("tokenizer.json", tokenizer);
        write("tokenizer_config.json", json{{"tokenizer_class", name}, {"do_lower_case", setting}});
        const bool of_bert = std::string(name).starts_with("Bert");
        const bool lowers = of_bert ? setting != false : in_file;
        EXPECT_EQ(ids("Hello WORLD") == ids("hello world"), lowers);
        EXPECT_EQ(load_tokenizer(folder_, true)->ids_with_specials("Hello WORLD"), ids("hello world"));
      }
}

TEST_F(TokenizerFolder, RefusesUnknownPartsByName) {
  EXPECT_THAT(refusal_of(kQwen, "/model/type", "WordLevel"),
              HasSubstr("tokenizer.json: model: type 'WordLevel'"));
  EXPECT_THAT(refusal_of(kQwen, "/normalizer/type", "ByteLevel"), HasSubstr("normalizer: type 'ByteLevel'"));
  for (const char* type : {"UnicodeScripts", "FixedLength"})
    EXPECT_THAT(refusal_of(kQwen, "/pre_tokenizer/pretokenizers/0/type", type),
                HasSubstr(std::string("pre_tokenizer.pretokenizers[0]: type '") + type));
  EXPECT_THAT(refusal_of(kQwen, "/pre_tokenizer/pretokenizers/0/behavior", "MergedWithAll"),
              HasSubstr("MergedWithAll"));
  EXPECT_THAT(refusal_of(kQwen, "/decoder/type", "CTC"), HasSubstr("decoder: type 'CTC'"));
  EXPECT_THAT(refusal_of(kQwen, "/post_processor/type", "Xyz"), HasSubstr("post_processor: type 'Xyz'"));
  EXPECT_THAT(refusal_of(kQwen, "/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(refusal_of(kQwen, "/model/end_of_word_suffix", "</w>"), HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(refusal_of(kLlama, "/model/continuing_subword_prefix", "##"),
              HasSubstr("continuing_subword_prefix"));
  EXPECT_THAT(refusal_of(kQwen, "/model/byte_fallback", true), HasSubstr("byte_fallback"));
  EXPECT_THAT(refusal_of(kXlmr, "/pre_tokenizer", json{{"type", "ByteLevel"}}),
              HasSubstr("Unigram behind a ByteLevel"));
}

TEST_F(TokenizerFolder, RefusesWhatNamesNothing) {
  EXPECT_THAT(refusal_of(kLlama, "/model/unk_token", "[NO]"), HasSubstr("model.unk_token"));
  EXPECT_THAT(refusal_of(kXlmr, "/model/unk_id", 100'000), HasSubstr("model.unk_id: 100000"));
  EXPECT_THAT(refusal_of(kXlmr, "/model/unk_id", nullptr), HasSubstr("model.unk_id"));
  EXPECT_THAT(refusal_of(kXlmr, "/model/vocab/5", json{"<s>", -1.0}), HasSubstr("'<s>' is there twice"));
  EXPECT_THAT(refusal_of(kXlmr, "/model/vocab/5", json{"x"}), HasSubstr("model.vocab[5]"));
  EXPECT_THAT(refusal_of(kXlmr, "/model/vocab", json::array()), HasSubstr("vocabulary of 0 tokens"));
  const std::string space = "/pre_tokenizer/pretokenizers/1";
  EXPECT_THAT(refusal_of(kXlmr, space + "/replacement", "ab"), HasSubstr("expected one character"));
  EXPECT_THAT(refusal_of(kXlmr, space + "/prepend_scheme", "last"), HasSubstr("prepend_scheme 'last'"));
  EXPECT_THAT(refusal_of(kXlmr, space + "/add_prefix_space", false), HasSubstr("contradict each other"));
  EXPECT_THAT(refusal_of(kLlama, "/normalizer/normalizers/1/pattern/String", ""), HasSubstr("empty text"));
  const std::string map = "/normalizer/normalizers/0/precompiled_charsmap";
  for (const char* broken : {"", "!!!!", "AAA", "AAAA", "/////w=="})
    EXPECT_THAT(refusal_of(kT5, map, broken), HasSubstr("precompiled_charsmap")) << broken;
}

/// Keys that are read only with others, or not at all.
bool is_ignored(const std::string& place) {
  for (const char* key : {"/version", "/id", "/type_id", "/pair", "/tokens", "/trim_offsets", "/Sequence"})
    if (place.ends_with(key) || place.find(std::string(key) + "/") != std::string::npos) return true;
  if (place.ends_with("/cls/0") || place.ends_with("/sep/0")) return true;
  const bool byte_level = place.ends_with("/use_regex") || place.ends_with("/add_prefix_space");
  if (place.starts_with("/decoder")) return byte_level || place.ends_with("/split");
  return place.starts_with("/post_processor") && byte_level;
}

/// The last two names on the way to a value; numbers count to the list's.
std::vector<std::string> last_names(json::json_pointer place) {
  std::vector<std::string> names;
  for (; !place.empty() && names.size() < 2; place.pop_back())
    if (place.back().find_first_not_of("0123456789") != std::string::npos) names.push_back(place.back());
  return names;
}

TEST_F(TokenizerFolder, NamesEveryFieldThatIsBroken) {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator("tests/fuzz/corpus/tokenizer_json")) {
    const json good = read(entry.path()), flat = good.flatten();
    std::set<std::string> done;
    for (const auto& [place, value] : flat.items()) {
      // Every value on the way is broken as well.
      for (json::json_pointer at(place); !at.empty(); at.pop_back()) {
        if (is_ignored(at.to_string()) || !done.insert(at.to_string()).second) continue;
        json tokenizer = good;
        tokenizer[at] = tokenizer[at].is_structured() ? json(7.5) : json{{"x", "y"}};
        write("tokenizer.json", tokenizer);
        const std::string message = refusal();
        EXPECT_THAT(message, HasSubstr("tokenizer.json")) << at.to_string();
        const auto names = last_names(at);
        EXPECT_TRUE(std::ranges::any_of(
            names, [&](const std::string& name) { return message.find(name) != std::string::npos; }))
            << entry.path() << at.to_string() << ": " << message;
        ++count;
      }
    }
  }
  EXPECT_GT(count, 500u);
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
  EXPECT_EQ(load_tokenizer(folder_)->id_of("<X>"), 1600);
  EXPECT_EQ(load_tokenizer(folder_)->id_of("hello"), 1601);
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

/// transformers 5.23: `AutoTokenizer.from_pretrained(folder)("x").input_ids` of every class.
TEST_F(TokenizerFolder, AddBosTokenDoesNotCountBesideTokenizerJson) {
  fs::copy(kQwen, folder_ / "tokenizer.json");
  for (const json& name : {json(nullptr), json("PreTrainedTokenizerFast"), json("LlamaTokenizer")}) {
    write("tokenizer_config.json", json{{"bos_token", "<|im_start|>"},
                                        {"eos_token", "<|im_end|>"},
                                        {"add_bos_token", true},
                                        {"add_eos_token", true},
                                        {"tokenizer_class", name}});
    EXPECT_TRUE(load_tokenizer(folder_)->leading_specials().empty()) << name;
    EXPECT_TRUE(load_tokenizer(folder_)->trailing_specials().empty()) << name;
  }
  fs::copy("tests/lab/base/tokenizer.json", folder_ / "tokenizer.json", fs::copy_options::overwrite_existing);
  write("tokenizer_config.json", json{{"bos_token", "</s>"}, {"add_bos_token", false}});
  EXPECT_EQ(load_tokenizer(folder_)->leading_specials(), std::vector<TokenId>{1});
}

/// As transformers 5.23 reads the two files (`AutoTokenizer.from_pretrained(folder).eos_token`).
TEST_F(TokenizerFolder, SpecialTokensMapIsRead) {
  fs::copy("tests/lab/base/tokenizer.json", folder_ / "tokenizer.json");
  write("special_tokens_map.json", json{{"eos_token", {{"content", "</s>"}, {"lstrip", false}}}});
  EXPECT_EQ(load_tokenizer(folder_)->eos(), 2) << "without tokenizer_config.json";
  write("tokenizer_config.json", json{{"bos_token", "<s>"}});
  EXPECT_EQ(load_tokenizer(folder_)->eos(), 2);
  EXPECT_EQ(load_tokenizer(folder_)->bos(), 1);
  write("tokenizer_config.json", json{{"eos_token", "<s>"}});
  EXPECT_EQ(load_tokenizer(folder_)->eos(), 2) << "the map wins";
  const json listed = {{"2", {{"content", "</s>"}, {"special", true}}}};
  write("tokenizer_config.json", json{{"eos_token", "<s>"}, {"added_tokens_decoder", listed}});
  EXPECT_EQ(load_tokenizer(folder_)->eos(), 1) << "unless the configuration lists its added tokens";
  write("tokenizer_config.json", json{{"added_tokens_decoder", json::object()}});
  EXPECT_FALSE(load_tokenizer(folder_)->eos());
  write("special_tokens_map.json", json{{"eos_token", 7}});
  write("tokenizer_config.json", json::object());
  EXPECT_THAT(refusal(), HasSubstr("eos_token"));
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
  write("tokenizer_config.json", json{{"tokenizer_class", "T5Tokenizer"}});
  EXPECT_THAT(refusal(), HasSubstr("'T5Tokenizer' is not supported without one"));
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

TEST_F(TokenizerFolder, SentencePieceModelsAreOfTheKindThatTheClassReads) {
  fs::copy("tests/data/tokenizers/llama_model/tokenizer.model", folder_ / "sentencepiece.bpe.model");
  write("tokenizer_config.json", json{{"tokenizer_class", "XLMRobertaTokenizer"}});
  EXPECT_THAT(refusal(), HasSubstr("sentencepiece.bpe.model: trainer_spec: a model of kind BPE"));
  fs::copy("tests/data/tokenizers/xlmr_model/sentencepiece.bpe.model", folder_ / "tokenizer.model");
  write("tokenizer_config.json", json{{"tokenizer_class", "LlamaTokenizer"}});
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.model: trainer_spec: a model of kind Unigram"));
}

/// Fields of protobuf's wire format.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}
std::string field(int number, char value) {
  return {static_cast<char>(number << 3), value};
}

TEST_F(TokenizerFolder, BrokenSentencePieceModelsAreRefused) {
  write("tokenizer_config.json", json{{"tokenizer_class", "LlamaTokenizer"}});
  const std::string score("\x15\0\0\x80\x3f", 5), endless("\x15\0\0\x80\x7f", 5);
  const std::string pieces = field(1, field(1, "<unk>") + field(3, '\x02')) + field(1, field(1, "a") + score);
  const std::string bpe = field(2, field(3, '\x02'));
  write("tokenizer.model", pieces + bpe);
  EXPECT_EQ(ids("a"), std::vector<TokenId>{1});
  for (const auto& [model, part] : std::map<std::string, std::string>{
           {bpe, "no pieces"},
           {"", "no pieces"},
           {pieces + pieces + bpe, "pieces: '<unk>' is there twice"},
           {pieces + field(2, field(3, '\x07')), "trainer_spec: model_type 7"},
           {pieces + field(2, field(3, "x")), "trainer_spec: model_type of wire type 2"},
           {pieces + bpe + field(1, ""), "pieces[2]: expected a text"},
           {pieces + bpe + field(1, field(1, "\xff")), "pieces[2]: expected a text"},
           {pieces + bpe + field(1, field(1, "b") + field(2, 'x')), "pieces[2]: score of wire type 0"},
           {pieces + bpe + field(1, field(1, "b") + endless), "pieces[2]: the score inf"},
           {pieces + bpe + field(1, field(1, "b") + field(3, '\x09')), "pieces[2]: type 9"},
           {pieces + bpe + field(3, field(2, '\x01')), "normalizer_spec: precompiled_charsmap of wire type"},
           {pieces + bpe + field(4, "abc").substr(0, 3), "bytes more than there are"},
           {pieces + bpe + "\x23", "wire type 3"},
           {pieces + bpe + std::string("\x02\x00", 2), "field 0"},
           {pieces + bpe + "\x20" + std::string(11, '\xff'), "more than 64 bits"}}) {
    write("tokenizer.model", model);
    const std::string message = refusal();
    EXPECT_THAT(message, HasSubstr("tokenizer.model"));
    EXPECT_THAT(message, HasSubstr(part));
  }
}

TEST_F(TokenizerFolder, FilesThatAreNotThereAreNamed) {
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json"));
  write("tokenizer_config.json", json{{"tokenizer_class", "GPT2Tokenizer"}});
  EXPECT_THAT(refusal(), HasSubstr("merges.txt"));
}

}  // namespace
}  // namespace rocket
