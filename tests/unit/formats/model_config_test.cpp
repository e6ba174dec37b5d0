#include "formats/model_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::nlohmann::json;
using ::rocket::testing::expect_error;
using ::rocket::testing::save_text;
using ::rocket::testing::Scratch;

json parsed(const std::string& name) {
  return json::parse(read_file("tests/data/formats/" + name));
}

/// As a base.
DecoderConfig read_decoder(const std::filesystem::path& folder) {
  return read_decoder_config(folder);
}

class ModelConfigTest : public ::testing::Test {
 protected:
  void save(const json& content, const std::string& name = "config.json") {
    make_folders((scratch_ / name).parent_path());
    save_text(scratch_ / name, content.dump());
  }
  /// Expects that the key with this value in config.json is refused by name.
  template <class Read>
  void expect_bad(Read read, json config, const std::string& key, const json& value,
                  std::initializer_list<std::string> parts = {}) {
    config[json::json_pointer("/" + key)] = value;
    save(config);
    SCOPED_TRACE(key + " = " + value.dump());
    const std::string last = key.substr(key.rfind('/') + 1);
    expect_error([&] { read(scratch_.folder()); }, ExitCode::data,
                 {(scratch_ / "config.json").string(), last});
    expect_error([&] { read(scratch_.folder()); }, ExitCode::data, parts);
  }
  Scratch scratch_;
};

const json kLlama = {{"model_type", "llama"},
                     {"hidden_size", 64},
                     {"intermediate_size", 96},
                     {"num_hidden_layers", 2},
                     {"num_attention_heads", 8},
                     {"num_key_value_heads", 4},
                     {"vocab_size", 100},
                     {"head_dim", 8},
                     {"max_position_embeddings", 77},
                     {"rms_norm_eps", 1e-5},
                     {"rope_theta", 1e4},
                     {"eos_token_id", 3},
                     {"tie_word_embeddings", true}};

/// The rotary settings as transformers holds them; what it does not hold stays at its default.
void expect_rope(const DecoderConfig& d, const json& expected, const json& attention_factor) {
  const json& rope = expected["rope"];
  EXPECT_EQ(name_of(d.rope.kind), rope["rope_type"]);
  EXPECT_EQ(d.rope.theta, rope["rope_theta"]);
  EXPECT_DOUBLE_EQ(d.rope.attention_factor, attention_factor.get<double>());
  if (d.rope.kind == RopeKind::plain) return;
  const auto positions = expected["max_positions"].get<double>();
  if (d.rope.kind != RopeKind::linear) {
    const char* key = "original_max_position_embeddings";
    EXPECT_EQ(d.rope.original_positions,
              d.rope.kind == RopeKind::dynamic ? expected["max_positions"] : rope[key]);
  }
  EXPECT_EQ(d.rope.factor, rope.value("factor", json()).is_null()
                               ? positions / static_cast<double>(d.rope.original_positions)
                               : rope["factor"].get<double>());
  EXPECT_EQ(d.rope.low_freq_factor, rope.value("low_freq_factor", 0.0));
  EXPECT_EQ(d.rope.high_freq_factor, rope.value("high_freq_factor", 0.0));
  const auto set = [&](const char* key, double fallback) {
    const json value = rope.value(key, json());
    return value.is_number() && value != 0 ? value.get<double>() : fallback;
  };
  EXPECT_EQ(d.rope.beta_fast, set("beta_fast", 32));
  EXPECT_EQ(d.rope.beta_slow, set("beta_slow", 1));
  EXPECT_EQ(d.rope.short_factors, rope.value("short_factor", std::vector<double>()));
  EXPECT_EQ(d.rope.long_factors, rope.value("long_factor", std::vector<double>()));
  EXPECT_EQ(d.rope.truncate, rope.value("truncate", true));
}

TEST_F(ModelConfigTest, ReadsEveryFormOfEveryFamilyAsTransformersDoes) {
  for (const json& one : parsed("decoder_configs.json")) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const json& expected = one["expected"];
    save(one["config"]);
    const DecoderConfig d = read_decoder_config(scratch_.folder());
    EXPECT_EQ(d.family, expected["family"]);
    EXPECT_EQ(d.hidden, expected["hidden"]);
    EXPECT_EQ(d.layers, expected["layers"]);
    EXPECT_EQ(d.heads, expected["heads"]);
    EXPECT_EQ(d.kv_heads, expected["kv_heads"]);
    EXPECT_EQ(d.head_dim, expected["head_dim"]);
    EXPECT_EQ(d.intermediate, expected["intermediate"]);
    EXPECT_EQ(d.vocabulary, expected["vocabulary"]);
    const auto positions = expected["max_positions"].get<std::int64_t>();
    EXPECT_EQ(d.max_positions, d.rope.kind == RopeKind::dynamic ? 2 * positions : positions);
    EXPECT_EQ(d.norm_eps, expected["norm_eps"]);
    EXPECT_EQ(d.qkv_bias, expected["qkv_bias"]);
    EXPECT_EQ(d.o_bias, expected["o_bias"]);
    EXPECT_EQ(d.mlp_bias, expected["mlp_bias"]);
    EXPECT_EQ(d.qk_norm, expected["qk_norm"]);
    EXPECT_EQ(d.windows, expected["windows"].get<std::vector<std::int64_t>>());
    EXPECT_EQ(d.tied_head, expected["tied_head"]);
    EXPECT_EQ(d.eos_ids, expected["eos_ids"].get<std::vector<std::int64_t>>());
    EXPECT_TRUE(d.generation_eos_ids.empty());
    expect_rope(d, expected, expected["attention_factor"]);
  }
}

TEST_F(ModelConfigTest, ReadsTheModelsInTheRepository) {
  EXPECT_EQ(read_decoder_config("tests/lab/base").generation_eos_ids, std::vector<std::int64_t>{2});
  EXPECT_EQ(read_decoder_config("tests/data/stories260k").kv_heads, 4);
  EXPECT_FALSE(read_decoder_config("tests/data/tiny_random_llama").tied_head);
}

TEST_F(ModelConfigTest, RefusesOtherFamiliesByName) {
  for (const char* family : {"gemma", "mixtral", "bert", "gpt2", "Llama"})
    expect_bad(read_decoder, kLlama, "model_type", family,
               {std::string("'") + family + "'", "known: llama, mistral, ministral, qwen2, qwen3, gemma2"});
  for (const char* family : {"mixtral", "qwen3_moe", "olmoe", "gpt_oss"})
    expect_bad(read_decoder, kLlama, "model_type", family, {"mixtures of experts themselves"});
  expect_bad(read_decoder, kLlama, "model_type", "bert", {"it is an encoder"});
  expect_bad(read_decoder, kLlama, "model_type", 3, {"expected a string"});
  expect_bad(read_decoder, json::object(), "model_type", nullptr);
  expect_bad(read_decoder, kLlama, "architectures", json{"LlamaForSequenceClassification"},
             {"LlamaForSequenceClassification"});
  expect_bad(read_decoder, kLlama, "architectures", "LlamaForCausalLM", {"a list of strings"});
}

/// Of a model that reads images, too, the language model's settings count, with what stands beside them.
TEST_F(ModelConfigTest, ReadsTheLanguageModelBesideAVisionTower) {
  json text = kLlama;
  text.update({{"model_type", "mistral"}, {"tie_word_embeddings", false}, {"eos_token_id", 3}});
  text.erase("architectures");
  json whole = {{"model_type", "mistral3"},
                {"architectures", {"Mistral3ForConditionalGeneration"}},
                {"vision_config", {{"hidden_size", 7}}},
                {"text_config", text}};
  save(whole);
  const DecoderConfig d = read_decoder_config(scratch_.folder());
  EXPECT_EQ(d.family, "mistral");
  EXPECT_EQ(d.names.model, "model.language_model.");
  EXPECT_EQ(d.hidden, 64);
  EXPECT_EQ(d.eos_ids, std::vector<std::int64_t>{3});
  EXPECT_TRUE(d.tied_head) << "transformers' default of these; a head in the file is read all the same";
  ASSERT_EQ(d.notes.size(), 1U);
  EXPECT_NE(d.notes[0].find("its language model alone is computed"), std::string::npos);
  whole.update({{"tie_word_embeddings", false}, {"eos_token_id", {1, 5}}});
  save(whole);
  EXPECT_FALSE(read_decoder_config(scratch_.folder()).tied_head);
  EXPECT_EQ(read_decoder_config(scratch_.folder()).eos_ids, (std::vector<std::int64_t>{1, 5}));
  expect_bad(read_decoder, whole, "text_config", nullptr, {"the language model's settings"});
  expect_bad(read_decoder, whole, "text_config/hidden_size", "64", {"text_config.hidden_size"});
  expect_bad(read_decoder, whole, "text_config/model_type", "ministral3", {"grow with their position"});
  expect_bad(read_decoder, whole, "text_config/final_logit_softcapping", 30.0, {"are not capped"});
  expect_bad(read_decoder, whole, "quantization_config", json{{"bits", 4}}, {"quantized"});
  expect_bad(read_decoder, whole, "architectures", json{"Mistral3Model"},
             {"known: Mistral3ForConditionalGeneration"});
  for (const char* family : {"mllama", "smolvlm", "paligemma", "qwen3_5"})
    expect_bad(read_decoder, whole, "model_type", family,
               {std::string("'") + family + "' is not supported: "});
}

TEST_F(ModelConfigTest, RefusesEveryNumberThatIsNone) {
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "vocab_size", "head_dim", "max_position_embeddings"}) {
    for (const json& value : {json(0), json(-8), json("8"), json(8.0), json(true), json::array({8}),
                              json::object(), json(INT64_MAX), json(UINT64_MAX), json(1e300)})
      expect_bad(read_decoder, kLlama, key, value, {"expected a whole number in ["});
  }
  for (const char* key : {"rms_norm_eps", "rope_theta"})
    for (const json& value : {json(0), json(-1.5), json("1"), json(false), json::array()})
      expect_bad(read_decoder, kLlama, key, value, {"expected a number above 0"});
}

TEST_F(ModelConfigTest, RefusesShapesThatDoNotFit) {
  expect_bad(read_decoder, kLlama, "hidden_size", 65, {"no multiple"});
  expect_bad(read_decoder, kLlama, "num_key_value_heads", 3, {"no multiple of 3"});
  expect_bad(read_decoder, kLlama, "head_dim", 7, {"even"});
  expect_bad(read_decoder, kLlama, "head_dim", 1 << 20, {"wider"});
}

TEST_F(ModelConfigTest, RefusesWhatIsNotComputed) {
  expect_bad(read_decoder, kLlama, "hidden_act", "relu", {"'relu'", "known: silu, gelu"});
  expect_bad(read_decoder, kLlama, "mlp_bias", "no", {"true or false"});
  expect_bad(read_decoder, kLlama, "attention_bias", 1, {"true or false"});
  expect_bad(read_decoder, kLlama, "tie_word_embeddings", "yes", {"true or false"});
  expect_bad(read_decoder, kLlama, "quantization_config", json{{"bits", 4}}, {"quantized"});
  expect_bad(read_decoder, kLlama, "rope_parameters/rope_type", "su",
             {"'su'", "known: default, linear, dynamic, llama3, yarn, longrope"});
  expect_bad(read_decoder, kLlama, "rope_parameters/rope_theta", "x", {"rope_parameters.rope_theta"});
  expect_bad(read_decoder, kLlama, "rope_parameters", "x", {"expected an object"});
}

TEST_F(ModelConfigTest, NamesTheRopeTypeOfTheOldForm) {
  expect_bad(read_decoder, kLlama, "rope_scaling", json{{"type", "su"}, {"factor", 2}},
             {"rope_scaling.type", "'su'"});
  expect_bad(read_decoder, kLlama, "rope_scaling", json{{"rope_type", "mrope"}},
             {"rope_scaling.rope_type", "'mrope'"});
}

json with_rope(json rope) {
  json config = kLlama;
  config["rope_parameters"] = std::move(rope);
  return config;
}

const json kLlama3 = {{"rope_type", "llama3"},   {"rope_theta", 5e5},
                      {"factor", 8.0},           {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 32}};
const json kYarn = {{"rope_type", "yarn"}, {"rope_theta", 5e5},
                    {"factor", 4.0},       {"original_max_position_embeddings", 32},
                    {"beta_fast", 32},     {"beta_slow", 1},
                    {"mscale", 1},         {"mscale_all_dim", 1},
                    {"truncate", true},    {"attention_factor", 1.2}};
const json kLongRope = {{"rope_type", "longrope"},
                        {"rope_theta", 5e5},
                        {"factor", 4.0},
                        {"original_max_position_embeddings", 32},
                        {"short_factor", {1.0, 1.0, 1.0, 2.0}},
                        {"long_factor", {1.0, 2.0, 3.0, 4.0}},
                        {"attention_factor", 1.2}};

TEST_F(ModelConfigTest, RefusesEveryBrokenFieldOfEveryRope) {
  const json linear = {{"rope_type", "linear"}, {"factor", 2.0}},
             dynamic = {{"rope_type", "dynamic"}, {"factor", 2.0}};
  const std::vector<std::string> zero_is_absent = {"beta_fast", "beta_slow", "mscale", "mscale_all_dim"};
  for (const json& rope : {kLlama3, kYarn, kLongRope, linear, dynamic}) {
    save(with_rope(rope));
    EXPECT_NO_THROW(read_decoder_config(scratch_.folder())) << rope;
    for (const auto& [key, value] : rope.items()) {
      const std::string place = "rope_parameters/" + key;
      for (const json& broken : {json("x"), json::array({1}), json::object({{"a", 1}}), json(-1)})
        expect_bad(read_decoder, with_rope(rope), place, broken, {"rope_parameters." + key});
      if (value.is_number())
        for (const json& broken : {json(0), json(true)})
          if (broken != 0 || std::ranges::find(zero_is_absent, key) == zero_is_absent.end())
            expect_bad(read_decoder, with_rope(rope), place, broken);
    }
  }
}

TEST_F(ModelConfigTest, RefusesARopeThatLacksAField) {
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"})
    expect_bad(read_decoder, with_rope(kLlama3), std::string("rope_parameters/") + key, nullptr, {"nothing"});
  for (const char* key : {"short_factor", "long_factor"})
    for (const json& value :
         {json(nullptr), json::array({1, 2, 3}), json::array({1, 2, 3, 0}), json::array({1, 2, 3, "4"})})
      expect_bad(read_decoder, with_rope(kLongRope), std::string("rope_parameters/") + key, value);
  for (const char* type : {"linear", "dynamic", "yarn"})
    expect_bad(read_decoder, kLlama, "rope_scaling", json{{"type", type}},
               {"rope_scaling.factor", "nothing"});
}

TEST_F(ModelConfigTest, RefusesARopeThatIsNotDefined) {
  expect_bad(read_decoder, with_rope(kLlama3), "rope_parameters/high_freq_factor", 1.0,
             {"above low_freq_factor"});
  expect_bad(read_decoder, with_rope(kYarn), "rope_parameters/rope_theta", 1.0, {"above 1"});
  expect_bad(read_decoder, with_rope({{"rope_type", "dynamic"}, {"factor", 2}}), "head_dim", 2,
             {"more than 2"});
  expect_bad(read_decoder, with_rope(kYarn), "original_max_position_embeddings", 0, {"[1, "});
  expect_bad(read_decoder, with_rope(kLongRope), "original_max_position_embeddings", 1, {"2 or more"});
  for (const json& rope : {kLlama3, kYarn, kLongRope})
    expect_bad(read_decoder, with_rope(rope), "rope_parameters/partial_rotary_factor", 0.5,
               {"only 1 is supported with rotary embedding", rope["rope_type"]});
  for (const char* type : {"full_attention", "sliding_attention"})
    expect_bad(read_decoder, kLlama, std::string("rope_parameters/") + type, json{{"rope_type", "default"}},
               {"not one by type"});
}

json family(const std::string& name, const std::string& architecture) {
  json config = kLlama;
  config.update({{"model_type", name}, {"architectures", {architecture}}});
  return config;
}

const json kMistral = family("mistral", "MistralForCausalLM"), kQwen2 = family("qwen2", "Qwen2ForCausalLM"),
           kQwen3 = family("qwen3", "Qwen3ForCausalLM");

TEST_F(ModelConfigTest, RefusesWhatContradictsTheFamily) {
  for (const json& config : {kMistral, kQwen2, kQwen3}) {
    save(config);
    EXPECT_NO_THROW(read_decoder_config(scratch_.folder())) << config;
    expect_bad(read_decoder, config, "architectures", json{"LlamaForCausalLM"},
               {"LlamaForCausalLM", "known: "});
    expect_bad(read_decoder, config, "mlp_bias", true, {"feed-forward", config["model_type"]});
    expect_bad(read_decoder, config, "num_key_value_heads", 3, {"no multiple of 3"});
    expect_bad(read_decoder, config, "attention_bias", "x", {"true or false"});
  }
  expect_bad(read_decoder, kMistral, "attention_bias", true, {"'mistral'", "have not a bias"});
}

/// Of every form: what the families beside Llama's nearest differ in.
TEST_F(ModelConfigTest, ReadsWhatSetsAFamilyApartAsTransformersDoes) {
  for (const json& one : parsed("family_configs.json")) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const json& expected = one["expected"];
    save(one["config"]);
    const DecoderConfig d = read_decoder_config(scratch_.folder());
    EXPECT_EQ(d.family, expected["family"]);
    const std::vector<std::int64_t> shape{d.hidden,   d.layers,       d.heads,      d.kv_heads,
                                          d.head_dim, d.intermediate, d.vocabulary, d.max_positions};
    EXPECT_EQ(shape, expected["shape"].get<std::vector<std::int64_t>>());
    EXPECT_EQ(d.norm_eps, expected["norm_eps"]);
    EXPECT_EQ((std::vector<bool>{d.qkv_bias, d.o_bias, d.mlp_bias}),
              expected["biases"].get<std::vector<bool>>());
    EXPECT_EQ(d.windows, expected["windows"].get<std::vector<std::int64_t>>());
    EXPECT_EQ(d.tied_head, expected["tied_head"]);
    EXPECT_EQ(d.eos_ids, expected["eos_ids"].get<std::vector<std::int64_t>>());
    for (std::size_t i = 0; i < expected["turning"].size(); ++i)
      EXPECT_EQ(d.rope_of(static_cast<std::int64_t>(i)) != nullptr, expected["turning"][i]) << i;
    const auto ropes = expected["ropes"];
    ASSERT_EQ(ropes.size(), d.window_rope ? 2u : 1u);
    for (std::size_t i = 0; i < ropes.size(); ++i) {
      const RopeConfig& rope = i == 0 ? d.rope : *d.window_rope;
      EXPECT_EQ(name_of(rope.kind), ropes[i]["rope_type"]);
      EXPECT_EQ(rope.theta, ropes[i]["rope_theta"]);
      EXPECT_EQ(rope.width, ropes[i]["width"]);
      EXPECT_DOUBLE_EQ(rope.attention_factor, ropes[i]["attention_factor"].get<double>());
    }
    const std::vector<double> numbers{d.embedding_scale, d.residual_scale, d.logit_scale, d.attention_cap,
                                      d.logit_cap};
    for (std::size_t i = 0; i < numbers.size(); ++i)
      EXPECT_DOUBLE_EQ(numbers[i], expected["numbers"][i].get<double>()) << i;
    const double usual = 1 / std::sqrt(static_cast<double>(d.head_dim));
    EXPECT_DOUBLE_EQ(d.attention_scale > 0 ? d.attention_scale : usual,
                     expected["attention_scale"].get<double>());
  }
}

TEST_F(ModelConfigTest, ChecksTheWidthOfHeadsWhereItDecides) {
  json without = kMistral;
  without.erase("head_dim");
  expect_bad(read_decoder, without, "hidden_size", 65, {"no multiple"});
  for (json config : {kMistral, kQwen2, kQwen3}) {
    config["hidden_size"] = 65;
    save(config);
    EXPECT_EQ(read_decoder_config(scratch_.folder()).head_dim, 8);
  }
}

TEST_F(ModelConfigTest, RefusesEveryBrokenFieldOfWindows) {
  json qwen = kQwen2;
  qwen.update({{"use_sliding_window", true}, {"sliding_window", 5}, {"max_window_layers", 1}});
  for (const json& value : {json(0), json(-1), json("5"), json(5.0), json(UINT64_MAX)}) {
    expect_bad(read_decoder, kMistral, "sliding_window", value, {"whole number in [1, "});
    expect_bad(read_decoder, qwen, "sliding_window", value, {"whole number in [1, "});
  }
  for (const json& value : {json(-1), json("5"), json(5.0)})
    expect_bad(read_decoder, qwen, "max_window_layers", value, {"whole number in [0, "});
  expect_bad(read_decoder, qwen, "use_sliding_window", 1, {"true or false"});
  expect_bad(read_decoder, qwen, "layer_types", json::array({"full_attention"}), {"1 entries", "= 2"});
  expect_bad(read_decoder, qwen, "layer_types", json::array({"full_attention", 1}), {"list of strings"});
  expect_bad(read_decoder, qwen, "layer_types", json::array({"full_attention", "chunked_attention"}),
             {"'chunked_attention'", "known: full_attention, sliding_attention"});
}

TEST_F(ModelConfigTest, RefusesLayerTypesThatContradictTheWindow) {
  const json sliding = json::array({"full_attention", "sliding_attention"});
  json no_window = kMistral;
  no_window["sliding_window"] = nullptr;
  for (const json& config : {kLlama, kQwen2, kQwen3, no_window})
    expect_bad(read_decoder, config, "layer_types", sliding, {"there is no window"});
}

TEST_F(ModelConfigTest, NotesWhatTheFilesSayInVain) {
  json config = kLlama;
  config.update({{"eos_token_id", {100, 3, -1}}, {"partial_rotary_factor", 0.25}});
  save(config);
  save({{"eos_token_id", 150}}, "generation_config.json");
  const DecoderConfig d = read_decoder_config(scratch_.folder());
  EXPECT_EQ(d.eos_ids, std::vector<std::int64_t>{3});
  EXPECT_TRUE(d.generation_eos_ids.empty());
  const std::string place = (scratch_ / "config.json").string();
  const std::string outside = " is not used: it lies outside the vocabulary of 100";
  EXPECT_THAT(d.notes,
              ::testing::ElementsAre(
                  place + ": partial_rotary_factor is 0.25, but whole heads are turned in family 'llama', "
                          "as in transformers",
                  place + ": eos_token_id 100" + outside, place + ": eos_token_id -1" + outside,
                  (scratch_ / "generation_config.json").string() + ": eos_token_id 150" + outside));
}

TEST_F(ModelConfigTest, TakesAModelWithoutItsHead) {
  for (const char* family : {"Llama", "Mistral", "Qwen2"}) {
    json config = kLlama;
    std::string type = family;
    type[0] = static_cast<char>(std::tolower(type[0]));
    config.update({{"model_type", type}, {"architectures", {std::string(family) + "Model"}}});
    save(config);
    EXPECT_NO_THROW(read_decoder_config(scratch_.folder())) << family;
  }
  expect_bad(read_decoder, kLlama, "architectures", json{"MistralModel"}, {"'MistralModel'"});
}

TEST_F(ModelConfigTest, ReadsEosOfBothFiles) {
  for (const json& value : {json("2"), json::array({1, "2"}), json(2.0), json::object(), json(UINT64_MAX)})
    expect_bad(read_decoder, kLlama, "eos_token_id", value, {"a whole number in ["});
  save(kLlama);
  save({{"eos_token_id", {7, 8}}}, "generation_config.json");
  const auto d = read_decoder_config(scratch_.folder());
  EXPECT_EQ(d.eos_ids, std::vector<std::int64_t>{3});
  EXPECT_EQ(d.generation_eos_ids, (std::vector<std::int64_t>{7, 8}));
  save({{"eos_token_id", "x"}}, "generation_config.json");
  expect_error([&] { read_decoder_config(scratch_.folder()); }, ExitCode::data,
               {"generation_config.json", "eos_token_id"});
}

TEST_F(ModelConfigTest, RefusesTheFileCutAtEveryByte) {
  const std::string whole = kLlama.dump();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    save_text(scratch_ / "config.json", whole.substr(0, n));
    expect_error([&] { read_decoder_config(scratch_.folder()); }, ExitCode::data, {"config.json"});
  }
  save_text(scratch_ / "config.json", "[1]");
  expect_error([&] { read_decoder_config(scratch_.folder()); }, ExitCode::data,
               {"expected a JSON object, got [1]"});
  save_text(scratch_ / "config.json", R"({"model_type":"llama","model_type":"llama"})");
  expect_error([&] { read_decoder_config(scratch_.folder()); }, ExitCode::data,
               {"'model_type' stands twice"});
}

TEST_F(ModelConfigTest, SaysWhichFileIsMissing) {
  expect_error([&] { read_decoder_config(scratch_ / "none"); }, ExitCode::data, {"none/config.json"});
}

class EncoderConfigTest : public ModelConfigTest {};

/// EmbeddingGemma: an encoder, no base.
TEST_F(EncoderConfigTest, RowsThatLookAhead) {
  const json gemma = {{"model_type", "gemma3_text"},
                      {"hidden_size", 24},
                      {"intermediate_size", 32},
                      {"num_hidden_layers", 3},
                      {"num_attention_heads", 2},
                      {"num_key_value_heads", 1},
                      {"head_dim", 12},
                      {"vocab_size", 50},
                      {"sliding_window", 512},
                      {"max_position_embeddings", 40},
                      {"sliding_window_pattern", 2}};
  save(gemma);
  EXPECT_FALSE(read_decoder(scratch_.folder()).looks_ahead);
  EXPECT_EQ(read_decoder(scratch_.folder()).windows, (std::vector<std::int64_t>{512, 0, 512}));
  expect_bad(read_decoder, gemma, "use_bidirectional_attention", true, {"see what stands before them"});
  json ahead = gemma;
  ahead["use_bidirectional_attention"] = true;
  save(ahead);
  const DecoderConfig d = read_decoder_config(scratch_.folder(), LookAhead::allowed);
  EXPECT_TRUE(d.looks_ahead);
  EXPECT_EQ(d.windows, (std::vector<std::int64_t>{257, 0, 257})) << "half of it on either side";
  EXPECT_TRUE(read_encoder_config(scratch_.folder()).decoder);
}

const json kBert = {{"model_type", "bert"},          {"hidden_size", 24},        {"intermediate_size", 32},
                    {"num_hidden_layers", 3},        {"num_attention_heads", 2}, {"vocab_size", 50},
                    {"max_position_embeddings", 40}, {"type_vocab_size", 2},     {"layer_norm_eps", 1e-12},
                    {"hidden_act", "gelu"}};

TEST_F(EncoderConfigTest, ReadsABertAsTransformersDoes) {
  for (const json& one : parsed("bert_configs.json")) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const json& expected = one["expected"];
    save(one["config"]);
    const EncoderConfig e = read_encoder_config(scratch_.folder());
    EXPECT_EQ(e.family, "bert");
    EXPECT_EQ(e.hidden, expected["hidden"]);
    EXPECT_EQ(e.layers, expected["layers"]);
    EXPECT_EQ(e.heads, expected["heads"]);
    EXPECT_EQ(e.intermediate, expected["intermediate"]);
    EXPECT_EQ(e.vocabulary, expected["vocabulary"]);
    EXPECT_EQ(e.max_positions, expected["max_positions"]);
    EXPECT_EQ(e.type_vocabulary, expected["type_vocabulary"]);
    EXPECT_EQ(e.norm_eps, expected["norm_eps"]);
    EXPECT_EQ(e.activation == Activation::gelu, expected["activation"] == "gelu");
    EXPECT_EQ(e.max_tokens, e.max_positions);
  }
}

TEST_F(EncoderConfigTest, BoundsTheLengthAsSentenceTransformersDoes) {
  EXPECT_EQ(read_encoder_config("tests/lab/encoder").max_tokens, 128);
  save(kBert);
  const auto length = [&](const json& sentence, const json& tokenizer) {
    save(sentence, "sentence_bert_config.json");
    save(tokenizer, "tokenizer_config.json");
    return read_encoder_config(scratch_.folder()).max_tokens;
  };
  EXPECT_EQ(length({{"max_seq_length", 30}}, {{"model_max_length", 20}}), 30);
  EXPECT_EQ(length({{"max_seq_length", 41}}, json::object()), 40);
  EXPECT_EQ(length({{"max_seq_length", nullptr}}, json::object()), 40);
  EXPECT_EQ(length({{"transformer_task", "feature-extraction"}}, {{"model_max_length", 20}}), 20);
  EXPECT_EQ(length(json::object(), {{"model_max_length", 1e30}}), 40);
  for (const json& value : {json(0), json("30"), json(-1), json(1.5)}) {
    save({{"max_seq_length", value}}, "sentence_bert_config.json");
    expect_error([&] { read_encoder_config(scratch_.folder()); }, ExitCode::data,
                 {"sentence_bert_config.json", "max_seq_length"});
  }
  std::filesystem::remove(scratch_ / "sentence_bert_config.json");
  EXPECT_FALSE(read_encoder_config(scratch_.folder()).lower_case);
  save({{"model_max_length", 20}}, "tokenizer_config.json");
  EXPECT_EQ(read_encoder_config(scratch_.folder()).max_tokens, 20) << "of a folder that transformers saved";
  save({{"do_lower_case", true}}, "sentence_bert_config.json");
  EXPECT_TRUE(read_encoder_config(scratch_.folder()).lower_case);
  save({{"do_lower_case", "yes"}}, "sentence_bert_config.json");
  expect_error([&] { read_encoder_config(scratch_.folder()); }, ExitCode::data, {"do_lower_case"});
}

/// What SentenceTransformer.encode puts in front with the same file: its default, and prompt_name.
TEST_F(EncoderConfigTest, ReadsThePromptsOfSentenceTransformers) {
  const auto prompt = [&](const json& file, const std::string& choice) {
    save(file, "config_sentence_transformers.json");
    return read_prompt(scratch_.folder(), choice);
  };
  EXPECT_EQ(read_prompt(scratch_.folder(), "auto"), "");
  EXPECT_EQ(read_prompt(scratch_.folder(), "query"), "");
  json file = {{"prompts", {{"query", "Find: "}, {"passage", "p: "}, {"null", nullptr}}},
               {"default_prompt_name", nullptr}};
  EXPECT_EQ(prompt(file, "auto"), "");
  EXPECT_EQ(prompt(file, "query"), "Find: ");
  EXPECT_EQ(prompt(file, "document"), "");
  EXPECT_EQ(prompt(file, "null"), "");
  file["default_prompt_name"] = "passage";
  EXPECT_EQ(prompt(file, "auto"), "p: ");
  EXPECT_EQ(prompt(file, "none"), "");
  expect_error([&] { prompt(file, "title"); }, ExitCode::config,
               {"encoder.prompt", "no prompt 'title'; it has: document, null, passage, query"});
  file["default_prompt_name"] = "title";
  expect_error([&] { prompt(file, "auto"); }, ExitCode::data, {"default_prompt_name", "'title' is none of"});
  expect_error([&] { prompt({{"prompts", {{"a", 1}}}}, "a"); }, ExitCode::data, {"prompts.a", "a string"});
}

TEST_F(EncoderConfigTest, RefusesEveryBrokenField) {
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "vocab_size", "max_position_embeddings", "type_vocab_size"})
    for (const json& value : {json(0), json(-8), json("8"), json(8.0), json(UINT64_MAX)})
      expect_bad(read_encoder_config, kBert, key, value, {"expected a whole number in ["});
  expect_bad(read_encoder_config, kBert, "hidden_size", 25, {"no multiple"});
  expect_bad(read_encoder_config, kBert, "layer_norm_eps", 0, {"above 0"});
  expect_bad(
      read_encoder_config, kBert, "model_type", "albert",
      {"'albert'", "share their weights",
       "known: bert, xlm-roberta, roberta, camembert, mpnet, distilbert, modernbert, nomic_bert, new, gte"});
  expect_bad(read_encoder_config, kBert, "position_embedding_type", "relative_key", {"known: absolute"});
  expect_bad(read_encoder_config, kBert, "hidden_act", "silu", {"'silu'", "gelu_pytorch_tanh"});
  expect_bad(read_encoder_config, kBert, "is_decoder", true, {"encoder"});
  expect_bad(read_encoder_config, kBert, "add_cross_attention", true, {"encoder"});
  expect_bad(read_encoder_config, kBert, "quantization_config", json{{"bits", 4}}, {"quantized"});
}

const json kXlmRoberta = [] {
  json config = kBert;
  config.update({{"model_type", "xlm-roberta"}, {"pad_token_id", 1}, {"type_vocab_size", 1}});
  return config;
}();

TEST_F(EncoderConfigTest, PositionsOfRobertaBeginBehindThePadding) {
  save(kXlmRoberta);
  const EncoderConfig e = read_encoder_config(scratch_.folder());
  EXPECT_EQ(e.padding_id, 1);
  EXPECT_EQ(e.max_positions, 40);
  EXPECT_EQ(e.max_tokens, 38);
  EXPECT_EQ(e.dimension(), 24);
  json without = kXlmRoberta;
  without.erase("pad_token_id");
  save(without);
  EXPECT_EQ(read_encoder_config(scratch_.folder()).padding_id, 1);
  expect_bad(read_encoder_config, kXlmRoberta, "max_position_embeddings", 2,
             {"leave none behind pad_token_id = 1"});
  expect_bad(read_encoder_config, kXlmRoberta, "pad_token_id", 50, {"[0, 49]"});
}

TEST_F(EncoderConfigTest, FamiliesWithoutTokenTypes) {
  save({{"model_type", "distilbert"},
        {"dim", 24},
        {"n_layers", 3},
        {"n_heads", 4},
        {"hidden_dim", 40},
        {"activation", "gelu"},
        {"vocab_size", 50},
        {"max_position_embeddings", 40}});
  const EncoderConfig distil = read_encoder_config(scratch_.folder());
  EXPECT_EQ(std::vector({distil.hidden, distil.layers, distil.heads, distil.intermediate}),
            (std::vector<std::int64_t>{24, 3, 4, 40}));
  EXPECT_EQ(std::vector({distil.type_vocabulary, distil.distance_classes, distil.padding_id}),
            (std::vector<std::int64_t>{0, 0, -1}));
  json mpnet = kXlmRoberta;
  mpnet["model_type"] = "mpnet";
  save(mpnet);
  const EncoderConfig e = read_encoder_config(scratch_.folder());
  EXPECT_EQ(std::vector({e.type_vocabulary, e.distance_classes, e.max_tokens}),
            (std::vector<std::int64_t>{0, 32, 38}));
  expect_bad(read_encoder_config, mpnet, "relative_attention_num_buckets", 16, {"expected 32", "16"});
}

const json kModernBert = {{"model_type", "modernbert"},    {"hidden_size", 24},
                          {"intermediate_size", 32},       {"num_hidden_layers", 5},
                          {"num_attention_heads", 2},      {"vocab_size", 50},
                          {"max_position_embeddings", 40}, {"norm_eps", 1e-5}};

TEST_F(EncoderConfigTest, WindowsAndRotationsOfModernBert) {
  save(kModernBert);
  const EncoderConfig usual = read_encoder_config(scratch_.folder());
  EXPECT_EQ(usual.windows, (std::vector<std::int64_t>{0, 65, 65, 0, 65}));
  EXPECT_EQ(usual.rope->theta, 160000);
  EXPECT_EQ(usual.window_rope->theta, 10000);
  EXPECT_TRUE(usual.norms_in_front && usual.gated && !usual.linear_bias && !usual.norm_bias);
  json said = kModernBert;
  const std::vector<std::string> types = {"sliding_attention", "full_attention", "full_attention",
                                          "sliding_attention", "full_attention"};
  said.update({{"layer_types", types},
               {"local_attention", 8},
               {"rope_parameters",
                {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 7.0}}},
                 {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 5.0}}}}}});
  save(said);
  const EncoderConfig e = read_encoder_config(scratch_.folder());
  EXPECT_EQ(e.windows, (std::vector<std::int64_t>{5, 0, 0, 5, 0}));
  EXPECT_EQ(e.rope->theta, 7);
  EXPECT_EQ(e.window_rope->theta, 5);
  expect_bad(read_encoder_config, kModernBert, "layer_types", json{"full_attention"}, {"types for 5 layers"});
  expect_bad(read_encoder_config, kModernBert, "layer_types", json(5, "chunked_attention"),
             {"'chunked_attention'", "known: full_attention"});
  expect_bad(read_encoder_config, kModernBert, "mlp_bias", true, {"or neither"});
  expect_bad(read_encoder_config, kModernBert, "rope_scaling", json{{"type", "linear"}},
             {"as they were trained"});
  expect_bad(read_encoder_config, kModernBert, "rope_parameters",
             json{{"full_attention", {{"rope_type", "yarn"}}}}, {"'yarn'"});
}

/// Both forms of nomic-bert; biases are the default of its authors' program.
TEST_F(EncoderConfigTest, NomicBertInBothForms) {
  const json published = {{"model_type", "nomic_bert"},
                          {"n_embd", 24},
                          {"n_layer", 3},
                          {"n_head", 4},
                          {"n_inner", 40},
                          {"n_positions", 60},
                          {"vocab_size", 50},
                          {"activation_function", "swiglu"},
                          {"rotary_emb_base", 1000},
                          {"qkv_proj_bias", false},
                          {"mlp_fc1_bias", false},
                          {"mlp_fc2_bias", false}};
  save(published);
  const EncoderConfig e = read_encoder_config(scratch_.folder());
  EXPECT_EQ(std::vector({e.hidden, e.layers, e.heads, e.intermediate, e.max_tokens}),
            (std::vector<std::int64_t>{24, 3, 4, 40, 60}));
  EXPECT_EQ(e.rope->theta, 1000);
  EXPECT_TRUE(e.gated && e.norm_bias && !e.linear_bias && e.activation == Activation::silu);
  for (const char* key : {"qkv_proj_bias", "prenorm", "causal", "rotary_emb_interleaved"})
    expect_bad(read_encoder_config, published, key, true, {key});
  json silent = published;
  silent.erase("qkv_proj_bias");
  save(silent);
  expect_error([&] { read_encoder_config(scratch_.folder()); }, ExitCode::data, {"qkv_proj_bias"});
  expect_bad(read_encoder_config, published, "rotary_scaling_factor", 2, {"as they were trained"});
  expect_bad(read_encoder_config, published, "rotary_emb_fraction", 0.5, {"expected 1"});
}

/// GTE 1.5 as its authors published it, and as transformers saves it.
TEST_F(EncoderConfigTest, GteInBothForms) {
  json published = kBert;
  published.update({{"model_type", "new"},
                    {"type_vocab_size", 0},
                    {"position_embedding_type", "rope"},
                    {"rope_theta", 500},
                    {"rope_scaling", {{"type", "ntk"}, {"factor", 2.0}}}});
  save(published);
  const EncoderConfig e = read_encoder_config(scratch_.folder());
  EXPECT_EQ(std::vector({e.type_vocabulary, e.padding_id, e.max_tokens}),
            (std::vector<std::int64_t>{0, -1, 40}));
  EXPECT_TRUE(e.gated && e.linear_bias && e.norm_bias && !e.inner_bias && !e.norms_in_front);
  EXPECT_EQ(e.rope->theta, 1000);
  EXPECT_EQ(e.rope->kind, RopeKind::linear);
  EXPECT_DOUBLE_EQ(e.rope->factor, std::pow(2.0, 2.0 / 12));
  const auto rope_with = [&](const json& scaling) {
    json changed = published;
    changed["rope_scaling"] = scaling;
    save(changed);
    return *read_encoder_config(scratch_.folder()).rope;
  };
  EXPECT_EQ(rope_with({{"type", "ntk"}, {"factor", 1.0}}).kind, RopeKind::plain) << "nothing is stretched";
  EXPECT_EQ(rope_with(nullptr).theta, 500);
  EXPECT_EQ(rope_with({{"rope_type", "linear"}, {"factor", 4.0}}).factor, 4);
  expect_bad(read_encoder_config, published, "rope_scaling", json{{"type", "yarn"}},
             {"'yarn'", "known: default"});
  expect_bad(read_encoder_config, published, "rope_scaling",
             json{{"type", "ntk"}, {"factor", 2.0}, {"mixed_b", 0.6}}, {"mixed_b", "of its own"});
  expect_bad(read_encoder_config, published, "rope_scaling", json{{"type", "ntk"}}, {"factor"});
  expect_bad(read_encoder_config, published, "position_embedding_type", "absolute", {"known: rope"});
  for (const char* key : {"logn_attention_scale", "logn_attention_clip1"})
    expect_bad(read_encoder_config, published, key, true, {key, "depend on the length"});
  expect_bad(read_encoder_config, published, "layer_norm_type", "rms_norm", {"expected 'layer_norm'"});
  expect_bad(read_encoder_config, published, "pack_qkv", false, {"one tensor"});
  expect_bad(read_encoder_config, published, "head_dim", 8, {"expected 12"});
  json saved = kBert;
  saved["model_type"] = "gte";
  saved.erase("type_vocab_size");
  save(saved);
  EXPECT_EQ(read_encoder_config(scratch_.folder()).rope->theta, 160000);
  EXPECT_EQ(read_encoder_config(scratch_.folder()).type_vocabulary, 1);
  saved["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7.0}};
  save(saved);
  EXPECT_EQ(read_encoder_config(scratch_.folder()).rope->theta, 7);
}

class DenseTest : public EncoderConfigTest {
 protected:
  void save_dense(const json& first, const json& second) {
    save(kBert);
    const auto module = [](const char* type, const char* path) {
      return json{{"type", std::string("sentence_transformers.models.") + type}, {"path", path}};
    };
    save({module("Transformer", ""), module("Pooling", "1_Pooling"), module("Dense", "2_Dense"),
          module("Dense", "3_Dense"), module("Normalize", "4_Normalize")},
         "modules.json");
    save(first, "2_Dense/config.json");
    save(second, "3_Dense/config.json");
  }
  void expect_refused(const json& second, std::initializer_list<std::string> parts) {
    save_dense(first_, second);
    expect_error([&] { read_encoder_config(scratch_.folder()); }, ExitCode::data, parts);
  }
  const json first_ = {{"in_features", 24},
                       {"out_features", 8},
                       {"bias", true},
                       {"activation_function", "torch.nn.modules.activation.Tanh"}};
  const json second_ = {{"in_features", 8},
                        {"out_features", 5},
                        {"bias", false},
                        {"activation_function", "torch.nn.modules.linear.Identity"}};
};

TEST_F(DenseTest, ReadsThemInOrder) {
  save_dense(first_, second_);
  const EncoderConfig e = read_encoder_config(scratch_.folder());
  ASSERT_EQ(e.dense.size(), 2U);
  EXPECT_EQ(e.dense[0].folder, scratch_.folder() / "2_Dense");
  EXPECT_TRUE(e.dense[0].tanh && e.dense[0].bias);
  EXPECT_TRUE(!e.dense[1].tanh && !e.dense[1].bias);
  EXPECT_EQ(e.hidden, 24);
  EXPECT_EQ(e.dimension(), 5);
}

TEST_F(DenseTest, RefusesWhatItCannotCompute) {
  const auto with = [&](const char* key, const json& value) {
    json changed = second_;
    changed[key] = value;
    return changed;
  };
  expect_refused(with("in_features", 9), {"3_Dense/config.json", "expected 8", "got 9"});
  expect_refused(with("out_features", 0), {"out_features", "whole number"});
  expect_refused(with("activation_function", "torch.nn.modules.activation.ReLU"),
                 {"activation.ReLU", "Tanh"});
  expect_refused(with("use_residual", true), {"use_residual"});
  expect_refused(with("module_input_name", "token_embeddings"), {"module_input_name", "token_embeddings"});
}

class PoolingTest : public ModelConfigTest {
 protected:
  void expect_bad_file(const std::string& name, const json& content,
                       std::initializer_list<std::string> parts) {
    save(content, name);
    SCOPED_TRACE(content.dump());
    expect_error([&] { read_pooling(scratch_.folder(), "auto"); }, ExitCode::data, {name});
    expect_error([&] { read_pooling(scratch_.folder(), "auto"); }, ExitCode::data, parts);
  }
};

json module(const std::string& type, const std::string& path) {
  return {{"type", "sentence_transformers.models." + type}, {"path", path}};
}

TEST_F(PoolingTest, ReadsWhatSentenceTransformersWrites) {
  const std::string folder = "tests/data/formats/sentence_encoders/";
  EXPECT_EQ(read_pooling("tests/lab/encoder", "auto"), Pooling::mean);  // the old form
  EXPECT_EQ(read_pooling(folder + "mean", "auto"), Pooling::mean);
  EXPECT_EQ(read_pooling(folder + "cls", "auto"), Pooling::cls);
  EXPECT_EQ(read_pooling(folder + "max", "auto"), Pooling::max);
  expect_error([&] { read_pooling(folder + "cls_mean", "auto"); }, ExitCode::data,
               {"2 poolings side by side"});
}

TEST_F(PoolingTest, AnExplicitChoiceNeedsNoFile) {
  EXPECT_EQ(read_pooling(scratch_.folder(), "cls"), Pooling::cls);
  EXPECT_EQ(read_pooling(scratch_.folder(), "mean"), Pooling::mean);
  for (const std::string& word : pooling_words())
    EXPECT_EQ(word_of(read_pooling(scratch_.folder(), word)), word);
  expect_error([&] { read_pooling(scratch_.folder(), "min"); }, ExitCode::config,
               {"expected auto or one of cls, lasttoken, mean", "'min'"});
  expect_error([&] { read_pooling(scratch_.folder(), "auto"); }, ExitCode::config,
               {"say cls, lasttoken, mean"});
}

TEST_F(PoolingTest, ReadsTheOldForm) {
  save({{"pooling_mode_cls_token", true}}, "1_Pooling/config.json");
  EXPECT_EQ(read_pooling(scratch_.folder(), "auto"), Pooling::cls);
  save({{"word_embedding_dimension", 3}}, "1_Pooling/config.json");
  EXPECT_EQ(read_pooling(scratch_.folder(), "auto"), Pooling::mean);
  for (const auto& [mode, pooling] : {std::pair{"max_tokens", Pooling::max},
                                      {"mean_sqrt_len_tokens", Pooling::mean_sqrt},
                                      {"weightedmean_tokens", Pooling::weighted_mean},
                                      {"lasttoken", Pooling::last}}) {
    save({{std::string("pooling_mode_") + mode, true}}, "1_Pooling/config.json");
    EXPECT_EQ(read_pooling(scratch_.folder(), "auto"), pooling) << mode;
  }
  expect_bad_file("1_Pooling/config.json", {{"pooling_mode", "min"}},
                  {"pooling 'min'", "known: cls, lasttoken"});
  expect_bad_file("1_Pooling/config.json",
                  {{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", true}},
                  {"several poolings"});
  expect_bad_file("1_Pooling/config.json", {{"pooling_mode_cls_token", 1}}, {"true or false"});
  expect_bad_file("1_Pooling/config.json", {{"pooling_mode", 1}}, {"a string"});
  expect_bad_file("1_Pooling/config.json", {{"pooling_mode", json::array()}}, {"0 poolings"});
  expect_bad_file("1_Pooling/config.json", json::array(), {"expected a JSON object"});
}

TEST_F(PoolingTest, FollowsModules) {
  save({module("Transformer", ""), module("Pooling", "2_Pool")}, "modules.json");
  save({{"pooling_mode", {"cls"}}}, "2_Pool/config.json");
  EXPECT_EQ(read_pooling(scratch_.folder(), "auto"), Pooling::cls);
}

TEST_F(PoolingTest, RefusesToLeaveOutThePrompt) {
  expect_bad_file("1_Pooling/config.json", {{"pooling_mode", "mean"}, {"include_prompt", false}},
                  {"include_prompt", "prefix"});
}

TEST_F(PoolingTest, RefusesOtherModules) {
  const json transformer = module("Transformer", "");
  expect_bad_file("modules.json", {{"a", 1}}, {"a list of modules"});
  expect_bad_file("modules.json", json::array({1}), {"a list of objects"});
  expect_bad_file("modules.json", {transformer, module("LSTM", "2_LSTM")},
                  {"LSTM", "known: Transformer, Pooling, Dense"});
  expect_bad_file("modules.json", {transformer, module("WeightedLayerPooling", "1_W")},
                  {"WeightedLayerPooling"});
  expect_bad_file("modules.json", json::array({{{"type", "other.Transformer"}, {"path", ""}}}),
                  {"other.Transformer"});
  expect_bad_file("modules.json", json::array({{{"path", ""}}}), {"'type'"});
  expect_bad_file("modules.json", {module("Pooling", "1_Pooling"), transformer}, {"in this order"});
  expect_bad_file("modules.json",
                  {transformer, module("Pooling", "1_Pooling"), module("Normalize", "2"), transformer},
                  {"in this order"});
  expect_bad_file("modules.json", json::array(), {"in this order"});
  expect_bad_file("modules.json", json::array({module("Transformer", "0_BERT")}), {"'0_BERT'"});
  for (const char* path : {"../x", "/etc", "a/../../b"})
    expect_bad_file("modules.json", {transformer, module("Pooling", path)}, {"inside the model folder"});
  save(kBert);
  expect_error([&] { read_encoder_config(scratch_.folder()); }, ExitCode::data, {"modules.json"});
}

}  // namespace
}  // namespace rocket
