// Every family, every rotary embedding and every place of a bias or a window, against transformers.
#include <c10/core/GradMode.h>

#include "backend/cpu/cpu_backend.h"
#include "base/error.h"
#include "formats/tensors.h"
#include "model/rope.h"
#include "unit/model/families.h"

namespace rocket {
namespace {

using test::Sequences;

class FamilyTest : public testing::TestWithParam<std::string> {
 protected:
  const nlohmann::json file = test::read_reference(test::family_folder(GetParam()) / "cases.json");
  const Sequences sequences = file["sequences"].get<Sequences>();
};

TEST_P(FamilyTest, NllAndGreedyIdsOfEveryConfiguration) {
  const c10::NoGradGuard no_grad;
  double largest = 0;
  for (const auto& one : file["cases"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const Decoder decoder = test::load_family(GetParam(), one["config"]);
    const double difference =
        test::largest_nll_difference(test::nll_of(decoder, sequences, nullptr), one["base"]["nll"]);
    EXPECT_LT(difference, 2e-5);
    largest = std::max(largest, difference);
    EXPECT_EQ(generate(decoder, test::prompts_of(sequences), nullptr, test::kFamilyOptions),
              one["base"]["greedy"].get<Sequences>());
  }
  std::printf("%s: nll differs by at most %.2g\n", GetParam().c_str(), largest);
}

TEST_P(FamilyTest, BFloat16StaysNearFloat32) {
  const c10::NoGradGuard no_grad;
  const auto& one = file["cases"][0];
  const Decoder decoder = test::load_family(GetParam(), one["config"], at::kBFloat16);
  const at::Tensor nll = test::nll_of(decoder, sequences, nullptr);
  EXPECT_EQ(nll.scalar_type(), at::kFloat);
  const double largest = test::largest_nll_difference(nll, one["base"]["nll"]);
  std::printf("%s: bfloat16 moves an nll by at most %.2g\n", GetParam().c_str(), largest);
  EXPECT_GT(largest, 1e-4) << "computed in float32 after all";
  EXPECT_LT(largest, 0.5);
}

TEST_P(FamilyTest, WeightsOfTheComputeTypeStayInTheMap) {
  const auto type = GetParam() == "llama" ? at::kFloat : at::kBFloat16;
  const Decoder decoder = test::load_family(GetParam(), file["cases"][0]["config"], type);
  for (std::size_t m = 0; m < decoder.modules().size(); ++m) {
    const bool mapped = !decoder.weight(static_cast<std::int64_t>(m)).storage().resizable();
    const bool half = GetParam() == "qwen2" || GetParam() == "gpt_neox" || GetParam() == "llava";
    EXPECT_EQ(mapped, !half) << "of files in float16 none is";
  }
}

TEST_P(FamilyTest, Gradients) {
  const auto& one = file["cases"][0];
  const Decoder decoder = test::load_family(GetParam(), one["config"]);
  test::MatrixDelta delta;
  std::map<std::string, at::Tensor> leaves;
  for (std::size_t m = 0; m < decoder.modules().size(); ++m) {
    const Module& module = decoder.modules()[m];
    if (!one["gradients"].contains(module.name)) continue;
    leaves[module.name] = at::zeros({module.outputs, module.inputs}).requires_grad_();
    delta.weight_OI[static_cast<std::int64_t>(m)] = leaves[module.name];
  }
  test::nll_of(decoder, sequences, &delta).mean().backward();
  ASSERT_EQ(leaves.size(), 2u);
  for (const auto& [name, leaf] : leaves) {
    const at::Tensor expected = at::tensor(one["gradients"][name].get<std::vector<float>>());
    EXPECT_LT(test::largest_difference(leaf.grad().flatten(), expected),
              2e-5 * expected.abs().max().item<double>())
        << name;
  }
}

/// Qwen2's weights, which it ties, with each tensor as `change` leaves it; one without a name is left out.
template <class F>
Decoder load_changed_qwen2(nlohmann::json config, F&& change) {
  const auto write = [&](const std::filesystem::path& folder) {
    const SafeTensors file(test::family_folder("qwen2") / "model.safetensors");
    std::vector<StoredTensor> tensors;
    for (StoredTensor tensor : file.tensors()) {
      change(tensor);
      if (!tensor.name.empty()) tensors.push_back(tensor);
    }
    write_safetensors(folder / "model.safetensors", tensors);
  };
  return test::load_written(config, write);
}

TEST(Families, AModelThatWasSavedWithoutItsHead) {
  const c10::NoGradGuard no_grad;
  const auto file = test::read_reference(test::family_folder("qwen2") / "cases.json");
  const auto& one = file["cases"][0];
  nlohmann::json config = one["config"];
  config["architectures"] = {"Qwen2Model"};
  const auto behind_model = [](StoredTensor& tensor) { tensor.name = tensor.name.substr(6); };
  const Decoder decoder = load_changed_qwen2(config, behind_model);
  const auto sequences = file["sequences"].get<Sequences>();
  EXPECT_LT(test::largest_nll_difference(test::nll_of(decoder, sequences, nullptr), one["base"]["nll"]),
            2e-5);
  EXPECT_NE(decoder.files()->path_of("model.norm.weight").filename(), "");
  config["tie_word_embeddings"] = false;
  try {
    load_changed_qwen2(config, behind_model);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("'lm_head.weight' is missing"), std::string::npos) << e.what();
  }
}

/// transformers fills biases that the file lacks with zeros.
TEST(Families, Qwen2WithoutBiases) {
  const c10::NoGradGuard no_grad;
  const auto file = test::read_reference(test::family_folder("qwen2") / "cases.json");
  const auto sequences = file["sequences"].get<Sequences>();
  nlohmann::json config = file["cases"][0]["config"];
  const std::vector<std::byte> zeros(1024);
  const Decoder zero = load_changed_qwen2(config, [&](StoredTensor& tensor) {
    if (tensor.name.ends_with(".bias")) tensor.bytes = std::span(zeros).first(tensor.bytes.size());
  });
  config["attention_bias"] = false;
  const Decoder without = load_changed_qwen2(config, [](StoredTensor& tensor) {
    if (tensor.name.ends_with(".bias")) tensor.name.clear();
  });
  EXPECT_FALSE(without.config().qkv_bias);
  EXPECT_TRUE(test::nll_of(zero, sequences, nullptr).equal(test::nll_of(without, sequences, nullptr)));
}

TEST(Families, NameTheTensorThatIsMissing) {
  const auto file = test::read_reference(test::family_folder("mistral") / "cases.json");
  const std::vector<std::pair<std::string, std::string>> missing = {{"qwen2", "self_attn.q_proj.bias"},
                                                                    {"qwen3", "self_attn.q_norm.weight"}};
  for (const auto& [family, tensor] : missing) {
    nlohmann::json config = file["cases"][0]["config"];
    config.update({{"model_type", family}, {"architectures", nullptr}});
    try {
      test::load_family("mistral", config);
      FAIL() << family;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      EXPECT_NE(std::string(e.what()).find(tensor), std::string::npos) << e.what();
    }
  }
}

/// Whether the rotary embedding of a case depends on the length of the text.
bool turns_by_length(const nlohmann::json& one) {
  const auto name = one["name"].get<std::string>();
  return name.starts_with("dynamic") || name.starts_with("longrope");
}

/// transformers' `dynamic` keeps the frequencies of the longest text that it has seen; here a text's own
/// count.
TEST(DynamicRope, DoesNotDependOnTheCompany) {
  const c10::NoGradGuard no_grad;
  const auto file = test::read_reference(test::family_folder("llama") / "cases.json");
  const Sequences sequences = file["sequences"].get<Sequences>();
  for (const auto& one : file["cases"]) {
    if (!turns_by_length(one)) continue;
    const Decoder decoder = test::load_family("llama", one["config"]);
    EXPECT_GE(decoder.config().max_positions, 60) << "may be stretched to factor times the length";
    const PackedRows rows = pack(sequences, at::kCPU);
    const at::Tensor together = decoder.hidden(rows, nullptr);
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      const at::Tensor alone = decoder.hidden(pack(Sequences{sequences[s]}, at::kCPU), nullptr);
      EXPECT_TRUE(alone.equal(test::rows_of(together, rows, s))) << s;
    }
  }
}

TEST(Rope, LatePositionsOfPublishedModels) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("rocket-rope-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  for (const auto& one : test::read_reference("tests/data/families/ropes.json")) {
    std::ofstream(folder / "config.json") << one["config"].dump();
    PackedRows rows;
    rows.positions_T = at::tensor(one["positions"].get<std::vector<std::int64_t>>(), at::kLong);
    const DecoderConfig config = read_decoder_config(folder);
    const RopeTable table(config.head_dim, config.max_positions, config.rope, {at::kFloat, at::kCPU},
                          cpu_backend());
    const Rotation found = table.rows(rows);
    const auto expected = [&](const char* name) { return at::tensor(one[name].get<std::vector<float>>()); };
    EXPECT_LT(test::largest_difference(found.cos.flatten(), expected("cos")), 1e-6) << one["name"];
    EXPECT_LT(test::largest_difference(found.sin.flatten(), expected("sin")), 1e-6) << one["name"];
  }
  std::filesystem::remove_all(folder);
}

/// Prompts that begin alike, among them some that begin another: what they share must not be turned alike.
TEST(DynamicRope, GenerationsDoNotDependOnTheCompany) {
  for (const std::string family :
       {"llama", "phi3"}) {  // the latter reads a text again when its angles change
    const auto file = test::read_reference(test::family_folder(family) / "cases.json");
    const auto text = file["sequences"][1].get<std::vector<TokenId>>();
    Sequences prompts;
    for (const std::size_t length : {12, 15, 17, 22, 30, 31})
      prompts.emplace_back(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
    prompts.push_back(prompts.back());
    prompts.back().back() = 3;
    for (const auto& one : file["cases"]) {
      if (!turns_by_length(one)) continue;
      const Decoder decoder = test::load_family(family, one["config"]);
      const auto together = generate(decoder, prompts, nullptr, test::kFamilyOptions);
      for (std::size_t i = 0; i < prompts.size(); ++i)
        EXPECT_EQ(generate(decoder, Sequences{prompts[i]}, nullptr, test::kFamilyOptions)[0], together[i])
            << family << " " << i;
      const MakeDelta none = [] { return nullptr; };
      EXPECT_EQ(generate(decoder, prompts, none, test::kFamilyOptions), together) << "one delta for all";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Decoders, FamilyTest, testing::ValuesIn(test::kFamilies));

}  // namespace
}  // namespace rocket
