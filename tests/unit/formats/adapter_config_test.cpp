#include "formats/adapter_config.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::nlohmann::json;
using ::nlohmann::ordered_json;
using ::rocket::testing::expect_error;
using ::rocket::testing::save_text;
using ::rocket::testing::Scratch;

constexpr const char* kHome = "tests/lab/bank/home";

class AdapterConfigTest : public ::testing::Test {
 protected:
  AdapterConfig read(const ordered_json& config) {
    save_text(scratch_ / "adapter_config.json", config.dump());
    return read_adapter_config(scratch_.folder());
  }
  ordered_json with(const std::string& key, const json& value) {
    ordered_json config = ordered_json::parse(read_file(std::string(kHome) + "/adapter_config.json"));
    config[key] = value;
    return config;
  }
  void expect_bad(const std::string& key, const json& value, std::initializer_list<std::string> parts = {}) {
    SCOPED_TRACE(key + " = " + value.dump());
    const std::string file = (scratch_ / "adapter_config.json").string();
    expect_error([&] { read(with(key, value)); }, ExitCode::data, {file, "key '" + key});
    expect_error([&] { read(with(key, value)); }, ExitCode::data, parts);
  }
  Scratch scratch_;
};

TEST_F(AdapterConfigTest, ReadsTheLab) {
  const AdapterConfig price = read_adapter_config("tests/lab/bank/price");
  EXPECT_EQ(price.r, 8);
  EXPECT_EQ(price.alpha, 4);
  EXPECT_TRUE(price.rslora);
  EXPECT_EQ(price.base_model, "../../base");
  EXPECT_EQ(price.target_modules.size(), 7u);
  EXPECT_EQ(price.scale_of("model.layers.0.self_attn.q_proj"), 4 / std::sqrt(8.0));
}

TEST_F(AdapterConfigTest, DecidesRankScaleAndModulesAsPeftDoes) {
  const auto cases = ordered_json::parse(read_file("tests/data/formats/adapter_configs.json"));
  int modules = 0;
  for (const ordered_json& one : cases) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const AdapterConfig config = read(one["config"]);
    for (const auto& name : one["modules"]) {
      const auto module = name.get<std::string>();
      const auto adapted = one["expected"].find(module);
      if (adapted == one["expected"].end()) continue;
      ++modules;
      EXPECT_FALSE(config.leaves_out(module)) << module;
      EXPECT_EQ(config.rank_of(module), (*adapted)[0].get<std::int64_t>()) << module;
      EXPECT_EQ(config.scale_of(module), (*adapted)[1].get<double>()) << module;
    }
  }
  EXPECT_GT(modules, 500);
}

TEST_F(AdapterConfigTest, LeavesOutWhatPeftLeavesOut) {
  const auto cases = ordered_json::parse(read_file("tests/data/formats/adapter_configs.json"));
  const std::map<std::string, std::vector<std::string>> targets = {
      {"layers", {"q_proj", "layers.0.self_attn.v_proj"}},
      {"one layer", {"q_proj"}},
      {"layers pattern", {"q_proj"}},
      {"exclude", {"_proj"}},
      {"exclude prefix", {"_proj"}},
      {"exclude regex", {"_proj"}}};
  int left_out = 0;
  for (const ordered_json& one : cases) {
    const auto wanted = targets.find(one["name"].get<std::string>());
    if (wanted == targets.end()) continue;
    SCOPED_TRACE(wanted->first);
    const AdapterConfig config = read(one["config"]);
    for (const auto& name : one["modules"]) {
      const auto module = name.get<std::string>();
      const bool target = std::any_of(wanted->second.begin(), wanted->second.end(),
                                      [&](const std::string& end) { return module.ends_with(end); });
      if (!target) continue;
      EXPECT_EQ(config.leaves_out(module), !one["expected"].contains(module)) << module;
      left_out += config.leaves_out(module);
    }
  }
  EXPECT_GT(left_out, 50);
}

TEST_F(AdapterConfigTest, TakesTheDefaultsOfPeft) {
  const AdapterConfig config = read({{"peft_type", "LORA"}});
  EXPECT_EQ(config.r, 8);
  EXPECT_EQ(config.alpha, 8);
  EXPECT_FALSE(config.rslora);
  EXPECT_EQ(config.target_modules, (std::vector<std::string>{"q_proj", "v_proj", "query_key_value"}));
  EXPECT_TRUE(config.base_model.empty());
}

TEST_F(AdapterConfigTest, KnowsTargetForms) {
  EXPECT_FALSE(read(with("target_modules", {"a", "b"})).target_is_regex);
  const AdapterConfig regex = read(with("target_modules", ".*q_proj"));
  EXPECT_TRUE(regex.target_is_regex);
  EXPECT_EQ(regex.target_modules, std::vector<std::string>{".*q_proj"});
  expect_bad("target_modules", 3);
  expect_bad("target_modules", {{"a", 1}});
  expect_bad("target_modules", json::array({"a", 1}), {"a list of strings"});
}

TEST_F(AdapterConfigTest, RefusesEveryBrokenField) {
  for (const json& value :
       {json(0), json(-1), json(8.0), json("8"), json(true), json(1e30), json::array({8})})
    expect_bad("r", value, {"whole number"});
  for (const json& value : {json("8"), json(true), json::array({8})})
    expect_bad("lora_alpha", value, {"a number"});
  for (const json& value : {json("yes"), json(1)}) expect_bad("use_rslora", value, {"true or false"});
  for (const json& value : {json("IA3"), json("LOHA"), json("lora")})
    expect_bad("peft_type", value, {"known: LORA"});
  expect_bad("peft_type", nullptr, {"no adapter of PEFT"});
  for (const char* key : {"r", "lora_alpha"}) expect_bad(key, nullptr, {"null is no number"});
  expect_bad("base_model_name_or_path", 7, {"a string"});
  expect_bad("bias", "some", {"known: none, all, lora_only"});
  expect_bad("bias", 1);
  for (const char* bias : {"none", "all", "lora_only"}) EXPECT_NO_THROW(read(with("bias", bias)));
  for (const char* init : {"pissa", "pissa_niter_4", "olora", "loftq", "EVA", "corda", "lora_ga"})
    expect_bad("init_lora_weights", init, {"gaussian"});
  expect_bad("init_lora_weights", 1);
  for (const json& value : {json(true), json(false), json("gaussian"), json("eva"), json("orthogonal"),
                            json("mica"), json("MiCA"), json("Gaussian"), json(nullptr)})
    EXPECT_NO_THROW(read(with("init_lora_weights", value)));
}

TEST_F(AdapterConfigTest, RefusesBrokenPatterns) {
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    expect_bad(key, json::array({1}), {"an object"});
    expect_bad(key, {{"q_proj", "8"}}, {".q_proj"});
    expect_bad(key, {{"q_proj", nullptr}});
    expect_bad(key, {{"q_(proj", 8}}, {"no regular expression"});
    EXPECT_NO_THROW(read(with(key, nullptr)));
  }
  expect_bad("rank_pattern", {{"q_proj", 0}}, {"whole number"});
  expect_bad("exclude_modules", "(", {"no regular expression"});
  expect_bad("exclude_modules", 1);
  expect_bad("layers_to_transform", "1", {"whole number"});
  expect_bad("layers_to_transform", -1, {"whole number"});
  expect_bad("layers_pattern", "layers", {"layers_to_transform"});
  ordered_json regex = with("layers_to_transform", 1);
  regex["target_modules"] = "x";
  expect_error([&] { read(regex); }, ExitCode::data, {"layers_to_transform", "a list"});
}

TEST_F(AdapterConfigTest, BoundsTheWorkOfAPattern) {
  const AdapterConfig config = read(with("rank_pattern", {{"(a|a)*b", 3}}));
  expect_error([&] { config.rank_of(std::string(60, 'a') + "cb"); }, ExitCode::data,
               {"rank_pattern", "too long"});
}

TEST_F(AdapterConfigTest, RefusesUnsupportedKeysUnlessTheyAreOff) {
  for (const char* key :
       {"use_dora", "lora_bias", "use_qalora", "made_up", "layer_replication", "trainable_token_indices",
        "target_parameters", "alora_invocation_tokens", "use_bdlora", "megatron_config", "arrow_config",
        "kasa_config", "velora_config", "monteclora_config"}) {
    for (const json& value : {json(true), json("x"), json::array({1}), json{{"a", 1}}, json(0)})
      expect_bad(key, value);
    for (const json& value : {json(nullptr), json(false), json(""), json::array(), json::object()})
      EXPECT_NO_THROW(read(with(key, value))) << key;
  }
  expect_bad("use_dora", true, {"DoRA rescales"});
  expect_bad("lora_bias", true, {"bias inside the LoRA"});
  expect_bad("trainable_token_indices", {1, 2}, {"token embeddings"});
  expect_bad("layer_replication", json::array({{0, 2}}), {"changes the layers"});
  expect_bad("target_parameters", {"x"}, {"only linear layers"});
  expect_bad("made_up", 1, {"not known"});
}

TEST_F(AdapterConfigTest, MetadataIsFree) {
  for (const char* key :
       {"auto_mapping", "fan_in_fan_out", "inference_mode", "lora_dropout", "megatron_core", "peft_version",
        "qalora_group_size", "revision", "task_type", "loftq_config", "eva_config", "corda_config",
        "lora_ga_config", "ensure_weight_tying", "modules_to_save"})
    for (const json& value : {json(true), json("x"), json{{"a", 1}}, json(0.5)})
      EXPECT_NO_THROW(read(with(key, value))) << key;
}

TEST_F(AdapterConfigTest, NamesAnAdapterOfMlx) {
  const ordered_json mlx = {
      {"fine_tune_type", "lora"}, {"num_layers", 16}, {"lora_parameters", {{"rank", 8}, {"scale", 20.0}}}};
  expect_error([&] { read(mlx); }, ExitCode::data,
               {"key 'peft_type'", "mlx-lm", "lora_alpha = scale * rank"});
  expect_error([&] { read({{"architecture", "lora"}}); }, ExitCode::data, {"no adapter of PEFT"});
}

TEST_F(AdapterConfigTest, RefusesTheFileCutAtEveryByte) {
  const std::string whole = read_file(std::string(kHome) + "/adapter_config.json");
  for (std::size_t n = 0; n + 1 < whole.size(); ++n) {
    save_text(scratch_ / "adapter_config.json", whole.substr(0, n));
    expect_error([&] { read_adapter_config(scratch_.folder()); }, ExitCode::data, {"adapter_config.json"});
  }
}

TEST_F(AdapterConfigTest, RefusesDuplicateKeysAndDepth) {
  const auto expect = [&](const std::string& text, const std::string& part) {
    save_text(scratch_ / "adapter_config.json", text);
    expect_error([&] { read_adapter_config(scratch_.folder()); }, ExitCode::data,
                 {"adapter_config.json", part});
  };
  expect(R"({"peft_type":"LORA","r":8,"r":9})", "'r' stands twice");
  expect(R"({"peft_type":"LORA","rank_pattern":{"a":1,"a":1}})", "'a' stands twice");
  expect(R"({"a":)" + std::string(1000, '[') + std::string(1000, ']') + "}", "levels");
  expect("[]", "a JSON object");
}

}  // namespace
}  // namespace rocket
