#include "model/decoder.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "model/generate.h"
#include "support.h"

namespace rocket {
namespace {

using test::Prediction;
using test::Sequences;

class TransformersParity : public testing::TestWithParam<std::string> {
 protected:
  const std::string folder = "model/decoders/" + GetParam();
  const nlohmann::json reference = test::read_reference("tests/data/" + folder + "/reference.json");
  const Sequences sequences = reference["sequences"].get<Sequences>();
  const Decoder decoder = test::load_decoder(folder);
};

TEST_P(TransformersParity, LogitsAndNll) {
  const c10::NoGradGuard no_grad;
  const PackedRows rows = pack(sequences, at::kCPU);
  const at::Tensor hidden = decoder.hidden(rows, nullptr);
  const at::Tensor logits = decoder.logits(hidden);
  const at::Tensor nll = Prediction(sequences).nll(decoder, hidden);
  std::int64_t predicted = 0;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const auto& expected = reference["cases"][s];
    const auto flat = expected["logits"].get<std::vector<float>>();
    const at::Tensor found = test::rows_of(logits, rows, s).flatten();
    ASSERT_EQ(found.numel(), static_cast<std::int64_t>(flat.size()));
    EXPECT_LT(test::largest_difference(found, at::tensor(flat)), 3e-5) << "sequence " << s;
    for (const double value : expected["nll"].get<std::vector<double>>()) {
      EXPECT_NEAR(nll[predicted++].item<double>(), value, 1e-5 * value);
    }
  }
  EXPECT_EQ(predicted, nll.numel());
}

TEST_P(TransformersParity, GreedyIds) {
  const auto generated = generate(decoder, sequences, nullptr, {.max_new_tokens = 20, .stop_ids = {7}});
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    EXPECT_GT(reference["cases"][s]["margin"].get<double>(), 1e-5) << "no fair case";
    EXPECT_EQ(generated[s], reference["cases"][s]["greedy"].get<std::vector<TokenId>>()) << "prompt " << s;
  }
}

TEST_P(TransformersParity, GradientsOfWhatADeltaAdds) {
  test::MatrixDelta delta;
  std::vector<std::pair<std::string, at::Tensor>> leaves;
  for (std::size_t m = 0; m < decoder.modules().size(); ++m) {
    const Module& module = decoder.modules()[m];
    if (!reference["gradients"].contains(module.name)) continue;
    at::Tensor leaf = at::zeros({module.outputs, module.inputs}).requires_grad_();
    delta.weight_OI[static_cast<std::int64_t>(m)] = leaf;
    leaves.emplace_back(module.name, leaf);
  }
  ASSERT_EQ(leaves.size(), 5u);
  const at::Tensor nll =
      Prediction(sequences).nll(decoder, decoder.hidden(pack(sequences, at::kCPU), &delta));
  nll.mean().backward();
  for (const auto& [name, leaf] : leaves) {
    const at::Tensor expected = at::tensor(reference["gradients"][name].get<std::vector<float>>());
    EXPECT_LT(test::largest_difference(leaf.grad().flatten(), expected),
              2e-5 * expected.abs().max().item<double>())
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TransformersParity,
                         testing::Values("gqa_untied", "tied_old_form", "tied_with_head", "sharded_bf16",
                                         "half"));

TEST(Decoder, RealSmallModelAgreesWithFloat64Reference) {
  const c10::NoGradGuard no_grad;
  const auto reference = test::read_reference("tests/data/stories260k/reference.json");
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences sequences{reference["ids"].get<std::vector<TokenId>>()};
  const at::Tensor hidden = decoder.hidden(pack(sequences, at::kCPU), nullptr);
  const at::Tensor nll = Prediction(sequences).nll(decoder, hidden);
  const auto expected = reference["nll_per_token"].get<std::vector<double>>();
  ASSERT_EQ(nll.numel(), static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(nll[static_cast<std::int64_t>(i)].item<double>(), expected[i], 2e-5) << "token " << i;
  }
  EXPECT_NEAR(nll.to(at::kDouble).mean().item<double>(), reference["nll_mean"].get<double>(), 1e-5 * 0.47);
  const at::Tensor logits = decoder.logits(hidden);
  for (const std::int64_t position : {0, 10}) {
    const auto first =
        reference["logits_pos" + std::to_string(position) + "_first8"].get<std::vector<double>>();
    for (std::size_t i = 0; i < first.size(); ++i) {
      EXPECT_NEAR(logits[position][static_cast<std::int64_t>(i)].item<double>(), first[i], 5e-5);
    }
  }
  const auto generated = generate(decoder, Sequences{{1}}, nullptr, {.max_new_tokens = 200, .stop_ids = {}});
  EXPECT_THAT(generated[0], testing::ElementsAreArray(sequences[0].begin() + 1, sequences[0].end()));
}

TEST(Decoder, HalfPrecisionFileAgreesWithFloat64Reference) {
  const auto reference = test::read_reference("tests/data/tiny_random_llama/reference.json");
  const Decoder decoder = test::load_decoder("tiny_random_llama");
  for (const auto& expected : reference["cases"]) {
    const Sequences prompt{expected["prompt"].get<std::vector<TokenId>>()};
    const auto ids = expected["f64_argmax"].get<std::vector<TokenId>>();
    const auto generated = generate(
        decoder, prompt, nullptr, {.max_new_tokens = static_cast<std::int64_t>(ids.size()), .stop_ids = {}});
    EXPECT_EQ(generated[0], ids);
    Sequences whole = prompt;
    whole[0].insert(whole[0].end(), ids.begin(), ids.end());
    const c10::NoGradGuard no_grad;
    const at::Tensor nll = Prediction(whole).nll(decoder, decoder.hidden(pack(whole, at::kCPU), nullptr));
    const auto values = expected["nll"].get<std::vector<double>>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(nll[static_cast<std::int64_t>(i)].item<double>(), values[i], 1e-5 * values[i]);
    }
  }
}

/// Hidden states and nll of one sequence computed among others.
struct Result {
  at::Tensor hidden, nll;
  bool same_bits(const Result& other) const { return hidden.equal(other.hidden) && nll.equal(other.nll); }
};

std::vector<Result> compute(const Decoder& decoder, const Sequences& sequences, LinearDelta* delta) {
  const c10::NoGradGuard no_grad;
  const PackedRows rows = pack(sequences, at::kCPU);
  const at::Tensor hidden = decoder.hidden(rows, delta);
  const at::Tensor nll = decoder.nll(hidden, rows.ids_T);
  std::vector<Result> results;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    results.push_back({test::rows_of(hidden, rows, s).clone(), test::rows_of(nll, rows, s).clone()});
  }
  return results;
}

class SameBits : public testing::TestWithParam<std::string> {};

TEST_P(SameBits, WhateverTheCompany) {
  const Decoder decoder = test::load_decoder(GetParam());
  test::MatrixDelta delta = test::random_delta(decoder, 0.05);
  const auto vocabulary = static_cast<TokenId>(decoder.config().vocabulary);
  const Sequences all = test::random_sequences(40, vocabulary, 30, 1);
  const auto together = compute(decoder, all, &delta);
  std::mt19937 engine(2);
  for (int round = 0; round < 8; ++round) {
    std::vector<std::size_t> chosen;
    for (std::size_t s = 0; s < all.size(); ++s) {
      if (engine() % 3 == 0) chosen.push_back(s);
    }
    std::shuffle(chosen.begin(), chosen.end(), engine);
    if (round == 0) chosen = {3};
    Sequences some;
    for (const std::size_t s : chosen) some.push_back(all[s]);
    const auto results = compute(decoder, some, &delta);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      EXPECT_TRUE(results[i].same_bits(together[chosen[i]]))
          << "sequence " << chosen[i] << ", round " << round;
    }
  }
}

TEST_P(SameBits, WhateverTheNumberOfThreads) {
  const Decoder decoder = test::load_decoder(GetParam());
  const auto vocabulary = static_cast<TokenId>(decoder.config().vocabulary);
  const Sequences all = test::random_sequences(150, vocabulary, 30, 4);
  const int before = at::get_num_threads();
  std::vector<std::vector<Result>> results;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    results.push_back(compute(decoder, all, nullptr));
  }
  at::set_num_threads(before);
  for (std::size_t s = 0; s < all.size(); ++s) {
    EXPECT_TRUE(results[1][s].same_bits(results[0][s])) << s;
    EXPECT_TRUE(results[2][s].same_bits(results[0][s])) << s;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SameBits,
                         testing::Values("model/decoders/gqa_untied", "stories260k", "tiny_random_llama"));

TEST(Decoder, GradientsDoNotChangeTheNll) {
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences sequences = test::random_sequences(9, 512, 30, 8);
  test::MatrixDelta delta = test::random_delta(decoder, 0.05);
  const auto plain = compute(decoder, sequences, &delta);
  for (auto& [module, weight] : delta.weight_OI) weight.requires_grad_();
  const PackedRows rows = pack(sequences, at::kCPU);
  const at::Tensor nll = decoder.nll(decoder.hidden(rows, &delta), rows.ids_T);
  EXPECT_TRUE(nll.requires_grad());
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    EXPECT_LT(test::largest_difference(test::rows_of(nll, rows, s), plain[s].nll), 1e-5) << s;
  }
}

TEST(Decoder, NllIsChunkedWithoutChangingItsValueOrGradient) {
  const Decoder decoder = test::load_decoder("tiny_random_llama");  // 32,000 words: 131 rows a chunk
  const at::Tensor hidden =
      (at::remainder(at::arange(300 * 16, at::kFloat) * 0.618, 1.0) - 0.5).view({300, 16});
  const at::Tensor targets = at::remainder(at::arange(300, at::kLong) * 7919, 32000);
  at::Tensor ours = hidden.clone().requires_grad_(), theirs = hidden.clone().requires_grad_();
  const at::Tensor nll = decoder.nll(ours, targets);
  const at::Tensor expected =
      at::cross_entropy_loss(decoder.logits(theirs), targets, {}, at::Reduction::None);
  EXPECT_LT(test::largest_difference(nll, expected), 1e-5);
  const at::Tensor weights = at::arange(300, at::kFloat);
  (nll * weights).sum().backward();
  (expected * weights).sum().backward();
  EXPECT_LT(test::largest_difference(ours.grad(), theirs.grad()),
            1e-5 * theirs.grad().abs().max().item<double>());
}

TEST(Decoder, GradientsOfNllInBfloat16StayNearFloat32) {
  const Decoder wide = test::load_decoder("tiny_random_llama"),
                narrow = test::load_decoder("tiny_random_llama", at::kBFloat16);
  const at::Tensor hidden =
      (at::remainder(at::arange(300 * 16, at::kFloat) * 0.618, 1.0) - 0.5).view({300, 16}).to(at::kBFloat16);
  const at::Tensor targets = at::remainder(at::arange(300, at::kLong) * 7919, 32000);
  at::Tensor ours = hidden.clone().requires_grad_(), theirs = hidden.to(at::kFloat).requires_grad_();
  const at::Tensor nll = narrow.nll(ours, targets), expected = wide.nll(theirs, targets);
  EXPECT_LT(test::largest_difference(nll, expected), 1e-2);
  EXPECT_LT(test::largest_difference(narrow.nll(hidden, targets), nll.detach()), 1e-5);
  nll.sum().backward();
  expected.sum().backward();
  EXPECT_LT(test::largest_difference(ours.grad().to(at::kFloat), theirs.grad()),
            1e-2 * theirs.grad().abs().max().item<double>());
}

TEST(Decoder, BFloat16StaysNearFloat32) {
  const c10::NoGradGuard no_grad;
  const auto reference = test::read_reference("tests/data/stories260k/reference.json");
  const Decoder decoder = test::load_decoder("stories260k", at::kBFloat16);
  const Sequences sequences{reference["ids"].get<std::vector<TokenId>>()};
  const at::Tensor hidden = decoder.hidden(pack(sequences, at::kCPU), nullptr);
  EXPECT_EQ(hidden.scalar_type(), at::kBFloat16);
  const at::Tensor nll = Prediction(sequences).nll(decoder, hidden);
  EXPECT_EQ(nll.scalar_type(), at::kFloat);
  EXPECT_NEAR(nll.mean().item<double>(), reference["nll_mean"].get<double>(), 0.01);
}

TEST(Decoder, WeightsOfTheFilesOwnTypeAreNotCopied) {
  const Decoder decoder = test::load_decoder("stories260k");
  EXPECT_FALSE(decoder.weight(0).requires_grad());
  EXPECT_FALSE(decoder.weight(0).storage().resizable()) << "a view of the map has no allocator";
}

TEST(Decoder, RefusesIdsBeyondTheVocabulary) {
  const Decoder decoder = test::load_decoder("stories260k");
  try {
    decoder.hidden(pack(Sequences{{1, 512}}, at::kCPU), nullptr);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_THAT(e.what(), testing::HasSubstr("token id 512"));
  }
}

class BrokenModel : public testing::Test {
 protected:
  void SetUp() override {
    remove_all(folder);
    make_folders(folder);
    std::filesystem::copy_file("tests/data/stories260k/config.json", folder / "config.json");
  }
  void TearDown() override { remove_all(folder); }

  /// Stores the weights, each as `change` returns it; an undefined tensor is left out.
  template <class F>
  std::string message(F change) {
    const SafeTensors file("tests/data/stories260k/model.safetensors");
    std::vector<at::Tensor> kept;
    std::vector<StoredTensor> stored;
    for (const StoredTensor& tensor : file.tensors()) {
      kept.push_back(change(tensor.name, as_tensor(tensor)));
      if (kept.back().defined()) stored.push_back(as_stored(tensor.name, kept.back()));
    }
    write_safetensors(folder / "model.safetensors", stored);
    try {
      Decoder::load(folder, at::kFloat, at::kCPU);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      return e.what();
    }
    return "";
  }

  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "rocket-broken-model";
};

TEST_F(BrokenModel, UntouchedLoads) {
  EXPECT_EQ(message([](const std::string&, const at::Tensor& t) { return t; }), "");
}

TEST_F(BrokenModel, NamesAMissingTensor) {
  const std::string name = "model.layers.3.mlp.up_proj.weight";
  EXPECT_THAT(
      message([&](const std::string& n, const at::Tensor& t) { return n == name ? at::Tensor() : t; }),
      testing::HasSubstr(name));
}

TEST_F(BrokenModel, NamesAMisshapenTensor) {
  const std::string name = "model.layers.4.self_attn.k_proj.weight";
  const auto broken = [&](const std::string& n, const at::Tensor& t) {
    return n == name ? t.t().contiguous() : t;
  };
  EXPECT_THAT(message(broken),
              testing::AllOf(testing::HasSubstr(name), testing::HasSubstr("32"), testing::HasSubstr("64")));
}

}  // namespace
}  // namespace rocket
