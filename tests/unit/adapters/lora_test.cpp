#include "adapters/lora.h"

#include <gmock/gmock.h>

#include <limits>

#include "unit/adapters/support.h"

namespace rocket {
namespace {

using test::a_name;
using test::b_name;
using test::kModules;
using testing::AllOf;
using testing::HasSubstr;

class Lora : public testing::Test {
 protected:
  Lora() { at::manual_seed(3); }

  LoraAdapter load() { return load_adapter(folder.path() / "home", kModules, at::kFloat, at::kCPU); }
  void write(const test::NamedTensors& tensors, const nlohmann::json& config = {}) {
    test::write_peft(folder.path() / "home", tensors, config);
  }
  std::string refusal() {
    const auto [code, message] = test::error_of([&] { load(); });
    EXPECT_EQ(code, ExitCode::data) << message;
    EXPECT_THAT(message, testing::StartsWith("adapter 'home': "));
    return message;
  }
  test::NamedTensors pairs(std::vector<std::size_t> modules, std::int64_t lora_r = 2) {
    test::NamedTensors tensors;
    for (const std::size_t m : modules) test::add_pair(tensors, kModules[m], lora_r);
    return tensors;
  }

  test::TemporaryFolder folder;
};

TEST_F(Lora, ReadsWhatTheTensorsAdapt) {
  const auto tensors = pairs({2, 1});
  write(tensors);
  const LoraAdapter adapter = load();
  EXPECT_EQ(adapter.name, "home");
  ASSERT_EQ(adapter.weights.size(), 2u);
  EXPECT_EQ(adapter.weights[0].module, 1);
  EXPECT_EQ(adapter.weights[1].module, 2);
  EXPECT_EQ(adapter.weights[0].scale, 2);
  EXPECT_TRUE(at::equal(adapter.find(2)->a_RI, tensors[0].second));
  EXPECT_TRUE(at::equal(adapter.find(2)->b_OR, tensors[1].second));
  EXPECT_EQ(adapter.find(0), nullptr);
  EXPECT_EQ(adapter.bytes(), 4 * (2 * 6 + 4 * 2 + 2 * 6 + 8 * 2));
}

TEST_F(Lora, TakesNamesThatStillHoldTheDefaultName) {
  write({{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", at::ones({2, 6})},
         {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight", at::ones({8, 2})}});
  EXPECT_EQ(load().weights.size(), 1u);
}

TEST_F(Lora, RanksAndScalesFollowThePatterns) {
  auto tensors = pairs({0, 3});
  test::add_pair(tensors, kModules[2], 3);
  write(tensors, {{"rank_pattern", {{"layers.1.self_attn.q_proj", 3}}},
                  {"alpha_pattern", {{"v_proj", 9}}},
                  {"use_rslora", true}});
  const LoraAdapter adapter = load();
  EXPECT_EQ(adapter.find(2)->lora_r(), 3);
  EXPECT_DOUBLE_EQ(adapter.find(0)->scale, 4 / std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(adapter.find(2)->scale, 4 / std::sqrt(3.0));
  EXPECT_DOUBLE_EQ(adapter.find(3)->scale, 9 / std::sqrt(2.0));
}

TEST_F(Lora, ConvertsToTheComputeType) {
  test::NamedTensors tensors = pairs({0});
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kHalf);
  write(tensors);
  EXPECT_TRUE(at::equal(load().weights[0].a_RI, tensors[0].second.to(at::kFloat)));
  const auto bf16 = load_adapter(folder.path() / "home/", kModules, at::kBFloat16, at::kCPU);
  EXPECT_EQ(bf16.name, "home");
  EXPECT_TRUE(at::equal(bf16.weights[0].b_OR, tensors[1].second.to(at::kBFloat16)));
}

TEST_F(Lora, RefusesShapesThatFitNeitherBaseNorRank) {
  write({{a_name(kModules[0].name), at::ones({2, 5})}, {b_name(kModules[0].name), at::ones({8, 2})}});
  EXPECT_EQ(refusal(),
            "adapter 'home': adapter_model.safetensors: tensor "
            "'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight': expected [2, 6], got [2, 5]");
  write({{a_name(kModules[0].name), at::ones({2, 6})}, {b_name(kModules[0].name), at::ones({4, 2})}});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("lora_B"), HasSubstr("expected [8, 2], got [4, 2]")));
  write(pairs({0}, 3));
  EXPECT_THAT(refusal(), HasSubstr("expected [2, 6], got [3, 6]"));
  write({{a_name(kModules[0].name), at::ones({12})}, {b_name(kModules[0].name), at::ones({8, 2})}});
  EXPECT_THAT(refusal(), HasSubstr("expected [2, 6], got [12]"));
}

TEST_F(Lora, RefusesALoneFactor) {
  write({{a_name(kModules[0].name), at::ones({2, 6})}});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("q_proj.lora_A.weight'"), HasSubstr("lora_B is missing")));
  write({{b_name(kModules[0].name), at::ones({8, 2})}});
  EXPECT_THAT(refusal(), HasSubstr("lora_A is missing"));
}

TEST_F(Lora, RefusesTensorsThatAreNoLoraOfTheBase) {
  auto tensors = pairs({0});
  tensors.emplace_back("base_model.model.other.weight", at::ones({3}));
  write(tensors);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'base_model.model.other.weight'"), HasSubstr("no part of a LoRA")));
  write({{a_name("model.layers.7.self_attn.q_proj"), at::ones({2, 6})}});
  EXPECT_THAT(refusal(), HasSubstr("the base has no linear layer 'model.layers.7.self_attn.q_proj'"));
  for (const char* part :
       {"model.visual.blocks.0.attn.qkv", "model.vision_tower.encoder.layers.0.self_attn.q_proj",
        "vision_tower.vision_model.encoder.layers.0.mlp.fc1"}) {
    write({{a_name(part), at::ones({2, 6})}});
    EXPECT_THAT(refusal(), HasSubstr("it adapts the part of the model that reads images"));
  }
  write({{a_name(kModules[0].name).substr(11), at::ones({2, 6})}});
  EXPECT_THAT(refusal(), HasSubstr("no part of a LoRA"));
  write({});
  EXPECT_THAT(refusal(), HasSubstr("no tensor"));
}

TEST_F(Lora, SaysWhatElsePeftSaves) {
  const std::string q = "base_model.model." + kModules[0].name;
  for (const auto& [name, reason] : std::vector<std::pair<std::string, std::string>>{
           {q + ".lora_magnitude_vector.weight", "DoRA"},
           {q + ".lora_magnitude_vector", "DoRA"},
           {q + ".lora_B.bias", "bias inside the LoRA"},
           {q + ".bias", "bias: all or lora_only"},
           {q + ".base_layer.bias", "bias: all or lora_only"},
           {"base_model.model.model.embed_tokens.lora_embedding_A", "LoRA of the token embeddings"},
           {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
            "new token embeddings"},
           {"base_model.model.model.embed_tokens.weight", "new token embeddings"},
           {"base_model.model.model.norm.modules_to_save.default.weight", "a whole module"},
           {"base_model.model.lm_head.weight", "output layer"}}) {
    auto tensors = pairs({0});
    tensors.emplace_back(name, at::ones({3}));
    write(tensors);
    EXPECT_THAT(refusal(), AllOf(HasSubstr("'" + name + "'"), HasSubstr(reason)));
  }
}

/// The same tensors with a name as `change` leaves it.
template <class F>
test::NamedTensors renamed(test::NamedTensors tensors, F&& change) {
  for (auto& [name, values] : tensors) name = change(name);
  return tensors;
}

TEST_F(Lora, LeavesOutAWrapperThatAllNamesBeginWith) {
  const auto tensors = pairs({0, 3});
  write(tensors);
  const Hash128 plain = load().content();
  const std::string own = "base_model.model.";
  for (const std::string& front :
       {std::string("_orig_mod.") + own, own + "_orig_mod.", "_fsdp_wrapped_module." + own,
        "_fsdp_wrapped_module._orig_mod." + own, "_orig_mod._fsdp_wrapped_module." + own,
        "_fsdp_wrapped_module." + own + "_checkpoint_wrapped_module."}) {
    SCOPED_TRACE(front);
    write(renamed(tensors, [&](const std::string& name) { return front + name.substr(own.size()); }));
    EXPECT_EQ(load().content(), plain);
    const LoraFile file(folder.path() / "home", kModules);
    EXPECT_EQ(file.wrapped_front(),
              front.ends_with(own) ? front.substr(0, front.size() - own.size()) : front);
  }
}

TEST_F(Lora, NamesAWrapperThatNotAllNamesBeginWith) {
  const auto tensors = pairs({0, 3});
  const auto by_layer = [](const std::string& name) {
    std::string wrapped = name;
    return wrapped.insert(wrapped.find(".self_attn"), "._fsdp_wrapped_module");
  };
  write(renamed(tensors, by_layer));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'_fsdp_wrapped_module.', which FSDP puts in"),
                               HasSubstr("PEFT finds no such layer")));
  auto mixed = tensors;
  mixed.back().first = "_orig_mod." + mixed.back().first;
  write(mixed);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'_orig_mod.', which torch.compile"), HasSubstr("not all names")));
}

TEST_F(Lora, NamesEmptyTensors) {
  write({{a_name(kModules[0].name), at::ones({0})}, {b_name(kModules[0].name), at::ones({0})}});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("lora_A.weight': it is empty (shape [0])"), HasSubstr("ZeRO-3")));
}

TEST_F(Lora, NamesALoraOfTheOutputLayer) {
  auto tensors = pairs({0});
  tensors.emplace_back(a_name("lm_head"), at::ones({2, 6}));
  tensors.emplace_back(b_name("lm_head"), at::ones({9, 2}));
  write(tensors, {{"target_modules", {"q_proj", "lm_head"}}});
  EXPECT_THAT(refusal(), HasSubstr("'base_model.model.lm_head.lora_A.weight': a LoRA of the output layer"));
}

/// Copies of the base's tensors beside the LoRA: trainers leave them there, and PEFT loads them.
class Copies : public Lora {
 protected:
  Copies() {
    at::manual_seed(4);
    embedding = at::randn({9, 6});
    norm = at::randn({6}).to(at::kHalf);
    bias = at::randn({8});
    const std::vector<StoredTensor> stored = {as_stored("model.embed_tokens.weight", embedding),
                                              as_stored("model.layers.0.input_layernorm.weight", norm),
                                              as_stored(kModules[0].name + ".bias", bias)};
    std::filesystem::create_directories(folder.path() / "base");
    write_safetensors(folder.path() / "base/model.safetensors", stored);
  }
  LoraAdapter load_with(const std::string& name, const at::Tensor& copy) {
    auto tensors = pairs({0});
    tensors.emplace_back("base_model.model." + name, copy);
    write(tensors);
    const ModelWeights base(folder.path() / "base");
    return load_adapter(folder.path() / "home", kModules, at::kFloat, at::kCPU, &base);
  }
  std::string refusal_with(const std::string& name, const at::Tensor& copy) {
    const auto [code, message] = test::error_of([&] { load_with(name, copy); });
    EXPECT_EQ(code, ExitCode::data) << name;
    return message;
  }

  at::Tensor embedding, norm, bias;
};

TEST_F(Copies, ThatEqualTheBaseAreTaken) {
  for (const auto& [name, copy] : std::vector<std::pair<std::string, at::Tensor>>{
           {"model.embed_tokens.weight", embedding},
           {"model.embed_tokens.base_layer.weight", embedding},
           {"lm_head.weight", embedding},  // the base is tied
           {"lm_head.base_layer.weight", embedding.to(at::kDouble)},
           {"model.layers.0.input_layernorm.weight", norm},
           {"model.layers.0.input_layernorm.weight", norm.to(at::kFloat)},
           {kModules[0].name + ".base_layer.bias", bias}}) {
    EXPECT_EQ(load_with(name, copy).weights.size(), 1u) << name;
  }
}

TEST_F(Copies, ThatDifferAreRefused) {
  at::Tensor changed = embedding.clone();
  changed[8][5] += 0.25;
  EXPECT_THAT(refusal_with("model.embed_tokens.weight", changed),
              AllOf(HasSubstr("new token embeddings are not computed"), HasSubstr("by up to 0.25")));
  EXPECT_THAT(refusal_with("model.embed_tokens.weight", at::cat({embedding, embedding.narrow(0, 0, 1)})),
              HasSubstr("its shape is [10, 6], the base's [9, 6]"));
  changed[0][0] = NAN;
  EXPECT_THAT(refusal_with("lm_head.weight", changed), AllOf(HasSubstr("output layer"), HasSubstr("nan")));
  EXPECT_THAT(refusal_with("model.layers.0.input_layernorm.weight", norm + 1), HasSubstr("a retrained norm"));
  EXPECT_THAT(refusal_with("model.norm.weight", norm), HasSubstr("the base has no 'model.norm.weight'"));
  EXPECT_THAT(refusal_with("score.weight", norm), HasSubstr("the head of a classifier"));
}

TEST_F(Lora, KnowsAnAdapterWithoutEffect) {
  const auto has_effect = [&](const test::NamedTensors& tensors, const nlohmann::json& config = {}) {
    write(tensors, config);
    return load().has_effect();
  };
  auto tensors = pairs({0, 1});
  EXPECT_TRUE(has_effect(tensors));
  EXPECT_FALSE(has_effect(tensors, {{"lora_alpha", 0}}));
  EXPECT_FALSE(has_effect(tensors, {{"lora_alpha", 0}, {"alpha_pattern", {{"v_proj", 0}}}}));
  EXPECT_TRUE(has_effect(tensors, {{"lora_alpha", 0}, {"alpha_pattern", {{"v_proj", 1}}}}));
  tensors[1].second.zero_();
  EXPECT_TRUE(has_effect(tensors)) << "the other module has an effect";
  tensors[3].second.zero_();
  EXPECT_FALSE(has_effect(tensors)) << "all B are zero";
  tensors[1].second[0][0] = 1e-30;
  EXPECT_TRUE(has_effect(tensors));
  tensors[0].second.zero_();
  EXPECT_FALSE(has_effect(tensors)) << "A of that module is zero";
  tensors[0].second[1][3] = 1;
  EXPECT_FALSE(has_effect(tensors)) << "A and B have no rank in common";
  tensors[0].second[0][3] = -1e-3;
  tensors[1].second[0][0] = 1;
  tensors[1].second[0][1] = 1e-3;
  EXPECT_FALSE(has_effect(tensors)) << "the ranks cancel each other out, but for rounding";
  tensors[0].second[0][3] = -1.1e-3;
  EXPECT_TRUE(has_effect(tensors)) << "not quite";
  tensors[0].second[0][3] = 0;
  tensors[0].second[0][2] = 1e-20;
  EXPECT_TRUE(has_effect(tensors)) << "a small rank beside a large one of other columns";
}

TEST_F(Lora, TellsCopiesByTheirContent) {
  auto tensors = pairs({0, 1});
  write(tensors);
  const Hash128 content = load().content();
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kDouble);
  write({tensors.rbegin(), tensors.rend()}, {{"lora_dropout", 0.5}});
  EXPECT_EQ(load().content(), content);
  write(tensors, {{"lora_alpha", 5}});
  EXPECT_NE(load().content(), content);
  tensors[3].second[0][0] += 1;
  write(tensors);
  EXPECT_NE(load().content(), content);
}

TEST_F(Lora, RefusesTheSameWeightTwice) {
  auto tensors = pairs({0});
  tensors.emplace_back("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
                       at::ones({2, 6}));
  write(tensors);
  EXPECT_THAT(refusal(), HasSubstr("is the same weight"));
}

TEST_F(Lora, RefusesValuesThatAreNotFinite) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    auto tensors = pairs({0});
    tensors[1].second[3][1] = bad;
    write(tensors);
    EXPECT_THAT(refusal(),
                AllOf(HasSubstr("lora_B.weight'"), HasSubstr("not finite"), HasSubstr("at [3, 1]")));
  }
}

TEST_F(Lora, RefusesIntegers) {
  write({{a_name(kModules[0].name), at::ones({2, 6}, at::kLong)},
         {b_name(kModules[0].name), at::ones({8, 2})}});
  EXPECT_THAT(refusal(), HasSubstr("expected floating point values, got I64"));
}

TEST_F(Lora, RefusesWhatPeftWouldDrop) {
  write(pairs({0, 1}), {{"target_modules", {"q_proj"}}});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("v_proj.lora_A"), HasSubstr("PEFT would drop it")));
  write(pairs({0}), {{"target_modules", {"proj"}}});
  EXPECT_THAT(refusal(), HasSubstr("PEFT would drop it"));
  write(pairs({0}), {{"target_modules", "q_proj"}});
  EXPECT_THAT(refusal(), HasSubstr("PEFT would drop it"));
  write(pairs({0}), {{"exclude_modules", {"layers.0.self_attn.q_proj"}}});
  EXPECT_THAT(refusal(), HasSubstr("PEFT would drop it"));
  write(pairs({0, 2}), {{"layers_to_transform", {1}}});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("layers.0"), HasSubstr("PEFT would drop it")));
}

TEST_F(Lora, TargetsMayBeNamesExpressionsOrAllLinear) {
  for (const nlohmann::json& target :
       {nlohmann::json("all-linear"), nlohmann::json(R"(.*\.(q|v)_proj)"),
        nlohmann::json(R"(model\.layers\.\d+\..*)"), nlohmann::json({"self_attn.q_proj", kModules[1].name}),
        nlohmann::json({"q_proj", "v_proj", "absent_proj"})}) {
    write(pairs({0, 1}), {{"target_modules", target}});
    EXPECT_EQ(load().weights.size(), 2u) << target;
  }
}

TEST_F(Lora, TakesAPickleWhereThereAreNoSafetensors) {
  const auto pickled = folder.path() / "home/adapter_model.bin";
  write(pairs({0}));
  std::ofstream(pickled) << "x";
  EXPECT_EQ(load().weights.size(), 1u);
  std::filesystem::remove(folder.path() / "home/adapter_model.safetensors");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("adapter_model.bin"), HasSubstr("its directory is missing")));
  std::filesystem::remove(pickled);
  EXPECT_THAT(refusal(), HasSubstr("adapter_model.safetensors"));
}

/// KiB of a mapped file that count as this process's memory.
std::int64_t resident_of(const std::filesystem::path& file) {
  std::ifstream maps("/proc/self/smaps");
  std::int64_t resident = 0;
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ')) here = line.ends_with(file.string());  // a mapping's first line
    if (here && line.starts_with("Rss:")) resident += std::stol(line.substr(4));
  }
  return resident;
}

TEST_F(Lora, WhatWasReadOfAFileLeavesTheMemory) {
  const std::vector<Module> modules = {{"model.layers.0.self_attn.q_proj", 65536, 65536}};
  test::NamedTensors tensors;
  test::add_pair(tensors, modules[0], 2);
  write(tensors);
  const LoraFile file(folder.path() / "home", modules);
  const auto path = folder.path() / "home/adapter_model.safetensors";
  EXPECT_GT(resident_of(path), 0);  // the header
  const LoraWeight weight = file.read(file.weights()[0], at::kFloat, at::kCPU);
  EXPECT_TRUE(at::equal(weight.a_RI, tensors[0].second));
  EXPECT_EQ(resident_of(path), 0);
  EXPECT_TRUE(at::equal(file.read(file.weights()[0], at::kFloat, at::kCPU).b_OR, tensors[1].second));
}

TEST_F(Lora, WhatIsWrittenIsReadBack) {
  LoraAdapter adapter{"out", {}};
  adapter.weights.push_back({0, at::randn({2, 6}), at::randn({8, 2}), 1.5});
  adapter.weights.push_back({1, at::randn({5, 6}), at::randn({4, 5}), 1 / std::sqrt(5.0)});
  adapter.weights.push_back({2, at::randn({3, 6}), at::randn({8, 3}), 0.3});
  write_adapter(folder.path() / "out", adapter, kModules, "some/base");
  const LoraAdapter again = load_adapter(folder.path() / "out", kModules, at::kFloat, at::kCPU);
  EXPECT_EQ(again.name, "out");
  ASSERT_EQ(again.weights.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(again.weights[i].module, adapter.weights[i].module);
    EXPECT_TRUE(at::equal(again.weights[i].a_RI, adapter.weights[i].a_RI));
    EXPECT_TRUE(at::equal(again.weights[i].b_OR, adapter.weights[i].b_OR));
    EXPECT_DOUBLE_EQ(again.weights[i].scale, adapter.weights[i].scale);
  }
}

TEST_F(Lora, WritesShortTargetsWhereTheyNameTheSameModules) {
  LoraAdapter adapter{
      "out", {{0, at::randn({2, 6}), at::randn({8, 2}), 1}, {2, at::randn({2, 6}), at::randn({8, 2}), 1}}};
  const auto targets = [&] {
    write_adapter(folder.path() / "out", adapter, kModules, "base");
    return nlohmann::json::parse(std::ifstream(folder.path() / "out/adapter_config.json"))["target_modules"];
  };
  EXPECT_EQ(targets(), nlohmann::json({"q_proj"}));
  adapter.weights.pop_back();
  EXPECT_EQ(targets(), nlohmann::json({kModules[0].name}));
}

}  // namespace
}  // namespace rocket
