#include "evaluation/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "adapters/training_prompt.h"
#include "base/error.h"
#include "base/files.h"
#include "evaluation/export_folder.h"
#include "formats/tensors.h"
#include "model/device.h"

namespace rocket {
namespace {

using json = nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

const fs::path lab_base = "tests/lab/base";

/// The linear layers of the lab's base, from its config.json.
std::vector<Module> lab_modules() {
  std::vector<Module> modules;
  for (int layer = 0; layer < 4; ++layer) {
    const std::string stem = "model.layers." + std::to_string(layer);
    modules.push_back({stem + ".self_attn.q_proj", 128, 128});
    modules.push_back({stem + ".self_attn.k_proj", 128, 64});
    modules.push_back({stem + ".self_attn.v_proj", 128, 64});
    modules.push_back({stem + ".self_attn.o_proj", 128, 128});
    modules.push_back({stem + ".mlp.gate_proj", 128, 256});
    modules.push_back({stem + ".mlp.up_proj", 128, 256});
    modules.push_back({stem + ".mlp.down_proj", 256, 128});
  }
  return modules;
}

class Export : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / ("rocket-export-" + std::to_string(getpid())) / test->name();
    remove_tree(folder_);
    // One that adapts every linear layer, two that adapt q and v; one of them with rsLoRA scaling.
    for (const char* name : {"home", "price", "x-pet"}) {
      adapters_.push_back(
          load_adapter(fs::path("tests/lab/bank") / name, modules_, at::kFloat, at::Device(at::kCPU)));
    }
    mixture_.emplace(Mixture::assemble(adapters_, modules_, {.top_k = 2, .seed = 3}, at::Device(at::kCPU)));
  }
  void TearDown() override { remove_tree(folder_.parent_path()); }

  std::vector<std::string> entries(const fs::path& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
    return names;
  }

  /// W + the mean of the adapters' scale * B A, summed in double, by definition.
  at::Tensor merged_by_hand(const at::Tensor& base, std::int64_t module) const {
    at::Tensor sum = base.to(at::kDouble).clone();
    for (const auto& adapter : adapters_) {
      if (const LoraWeight* w = adapter.find(module)) {
        const auto b = w->b_OR.to(at::kDouble), a = w->a_RI.to(at::kDouble);
        sum += b.unsqueeze(2).mul(a.unsqueeze(0)).sum(1) * (w->scale / static_cast<double>(adapters_.size()));
      }
    }
    return sum;
  }

  const PromptTemplate prompt_ = named_template("chatml");
  std::vector<Module> modules_ = lab_modules();
  std::vector<LoraAdapter> adapters_;
  std::optional<Mixture> mixture_;
  fs::path folder_;
};

TEST_F(Export, TheMixtureSaysWhichExpertsEachWeightHas) {
  export_mixture(folder_, *mixture_, modules_, "some/base", prompt_);
  EXPECT_THAT(entries(folder_), UnorderedElementsAre("mixture.json", "router.safetensors", "experts",
                                                     "mixture.py", ".rocket_export"));
  EXPECT_THAT(entries(folder_ / "experts"), UnorderedElementsAre("home", "price", "x-pet", ".rocket_export"));
  const json about = json::parse(read_file(folder_ / "mixture.json"));
  EXPECT_EQ(about["base"], "some/base");
  EXPECT_EQ(read_training_prompt(folder_ / "experts" / "home"), prompt_);
  EXPECT_EQ(about["top_k"], 2);
  EXPECT_EQ(about["experts"], json({"home", "price", "x-pet"}));
  EXPECT_EQ(about.size(), 4u);
  ASSERT_EQ(about["modules"].size(), mixture_->modules().size());
  std::size_t at = 0;
  for (const auto& [name, experts] : about["modules"].items()) {  // in model order
    const auto& module = mixture_->modules()[at++];
    EXPECT_EQ(name, modules_[static_cast<std::size_t>(module.module)].name);
    json expected = json::array();
    for (std::size_t i = 0; i < adapters_.size(); ++i) {
      if (adapters_[i].find(module.module)) expected.push_back(i);
    }
    EXPECT_EQ(experts, expected) << name;
  }
}

TEST_F(Export, RoutersAreStoredByModule) {
  export_mixture(folder_, *mixture_, modules_, "base", prompt_);
  const SafeTensors routers(folder_ / "router.safetensors");
  ASSERT_EQ(routers.tensors().size(), mixture_->modules().size());
  for (const auto& module : mixture_->modules()) {
    const auto* stored =
        routers.find(modules_[static_cast<std::size_t>(module.module)].name + ".router.weight");
    ASSERT_NE(stored, nullptr);
    EXPECT_EQ(stored->dtype, DType::f32);
    EXPECT_TRUE(at::equal(as_tensor(*stored), module.router_NI));
  }
}

TEST_F(Export, MixturePyIsTheSourceFile) {
  export_mixture(folder_, *mixture_, modules_, "base", prompt_);
  EXPECT_EQ(read_file(folder_ / "mixture.py"), read_file("src/evaluation/mixture.py"));
}

TEST_F(Export, ExpertsReadBackAsTheAdapters) {
  export_experts(folder_, *mixture_, modules_, "base", prompt_);
  for (const auto& adapter : adapters_) {
    EXPECT_EQ(read_training_prompt(folder_ / adapter.name), prompt_);
    const auto back = load_adapter(folder_ / adapter.name, modules_, at::kFloat, at::Device(at::kCPU));
    ASSERT_EQ(back.weights.size(), adapter.weights.size());
    for (std::size_t i = 0; i < back.weights.size(); ++i) {
      EXPECT_EQ(back.weights[i].module, adapter.weights[i].module);
      EXPECT_DOUBLE_EQ(back.weights[i].scale, adapter.weights[i].scale);
      EXPECT_TRUE(at::equal(back.weights[i].a_RI, adapter.weights[i].a_RI));
      EXPECT_TRUE(at::equal(back.weights[i].b_OR, adapter.weights[i].b_OR));
    }
  }
}

TEST_F(Export, TheMergedLoraIsTheMeanOfTheExperts) {
  export_merged_lora(folder_, *mixture_, modules_, "base", prompt_);
  EXPECT_EQ(read_training_prompt(folder_), prompt_);
  const auto merged = load_adapter(folder_, modules_, at::kFloat, at::Device(at::kCPU));
  ASSERT_EQ(merged.weights.size(), mixture_->modules().size());
  for (const auto& w : merged.weights) {
    const auto delta = w.b_OR.to(at::kDouble).matmul(w.a_RI.to(at::kDouble)) * w.scale;
    EXPECT_TRUE(at::allclose(delta, merged_by_hand(at::zeros_like(delta), w.module), 1e-5, 1e-7));
  }
}

void expect_merged(const fs::path& folder, const std::vector<Module>& modules,
                   const std::function<at::Tensor(const at::Tensor&, std::int64_t)>& by_hand) {
  const ModelWeights base(lab_base), merged(folder);
  ASSERT_EQ(merged.names(), base.names());
  std::map<std::string, std::int64_t> module_of;
  for (std::size_t i = 0; i < modules.size(); ++i)
    module_of[modules[i].name + ".weight"] = static_cast<std::int64_t>(i);
  for (const auto& name : base.names()) {
    const auto &before = *base.find(name), &after = *merged.find(name);
    ASSERT_EQ(after.dtype, before.dtype);
    ASSERT_EQ(after.shape, before.shape);
    if (module_of.contains(name)) {
      const auto expected = by_hand(as_tensor(before), module_of[name]);
      EXPECT_TRUE(at::allclose(as_tensor(after).to(at::kDouble), expected, 1e-5, 1e-6)) << name;
    } else {
      EXPECT_TRUE(at::equal(as_tensor(after), as_tensor(before))) << name;
    }
  }
}

TEST_F(Export, TheMergedModelIsTheBasePlusTheMean) {
  export_merged_model(folder_, *mixture_, modules_, lab_base);
  EXPECT_THAT(entries(folder_),
              UnorderedElementsAre("config.json", "generation_config.json", "tokenizer.json",
                                   "tokenizer_config.json", "model.safetensors", ".rocket_export"));
  EXPECT_EQ(read_file(folder_ / "tokenizer.json"), read_file(lab_base / "tokenizer.json"));
  expect_merged(folder_, modules_, [&](const at::Tensor& w, std::int64_t m) { return merged_by_hand(w, m); });
}

TEST_F(Export, ALargeMergedModelIsSharded) {
  export_merged_model(folder_, *mixture_, modules_, lab_base, 1'000'000);
  EXPECT_FALSE(fs::exists(folder_ / "model.safetensors"));
  EXPECT_TRUE(fs::exists(folder_ / "model-00001-of-00004.safetensors"));
  for (const auto& name : entries(folder_)) EXPECT_LT(fs::file_size(folder_ / name), 1'010'000u) << name;
  expect_merged(folder_, modules_, [&](const at::Tensor& w, std::int64_t m) { return merged_by_hand(w, m); });
}

TEST_F(Export, ASecondExportReplacesTheFirstAndNothingElse) {
  export_mixture(folder_, *mixture_, modules_, "first", prompt_);
  export_merged_lora(folder_ / "merged_lora", *mixture_, modules_, "first", prompt_);
  write_file(folder_ / "notes.txt", "mine");
  const Mixture fewer =
      Mixture::assemble(std::span(adapters_).first(1), modules_, {.top_k = 1}, at::Device(at::kCPU));
  export_mixture(folder_, fewer, modules_, "second", prompt_);
  EXPECT_EQ(json::parse(read_file(folder_ / "mixture.json"))["base"], "second");
  EXPECT_THAT(entries(folder_ / "experts"), UnorderedElementsAre("home", ".rocket_export"));
  EXPECT_TRUE(fs::exists(folder_ / "merged_lora" / "adapter_config.json"));
  EXPECT_EQ(read_file(folder_ / "notes.txt"), "mine");
}

TEST_F(Export, TheExpertsMayReplaceThoseOfTheMixture) {
  export_mixture(folder_, *mixture_, modules_, "first", prompt_);
  export_experts(folder_ / "experts", *mixture_, modules_, "second", prompt_);
  EXPECT_THAT(read_file(folder_ / "experts" / "home" / "adapter_config.json"), HasSubstr("second"));
}

TEST_F(Export, WhatNoExportWroteIsNotReplaced) {
  make_folders(folder_);
  write_file(folder_ / "mixture.json", "mine");
  try {
    export_mixture(folder_, *mixture_, modules_, "base", prompt_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    EXPECT_THAT(e.what(), HasSubstr((folder_ / "mixture.json").string()));
  }
  EXPECT_THAT(entries(folder_), ElementsAre("mixture.json"));
  EXPECT_EQ(read_file(folder_ / "mixture.json"), "mine");
  EXPECT_THAT(entries(folder_.parent_path()), ElementsAre(folder_.filename().string()));
}

TEST_F(Export, AnExportThatIsNotCommittedLeavesNothing) {
  {
    const ExportFolder pending(folder_, "");
    write_file(pending.temporary() / "x", "y");
    EXPECT_FALSE(fs::exists(folder_));
  }
  EXPECT_THAT(entries(folder_.parent_path()), testing::IsEmpty());
}

TEST_F(Export, AFolderThatCannotBeWrittenIsAStorageError) {
  make_folders(folder_);
  write_file(folder_ / "file", "");
  try {
    export_experts(folder_ / "file" / "inside", *mixture_, modules_, "base", prompt_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::storage);
  }
}

}  // namespace
}  // namespace rocket
