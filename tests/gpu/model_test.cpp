// Base, bank and encoder on the GPU against the CPU's, which the other tests hold against independent
// programs.
#include <gmock/gmock.h>

#include "gpu/support.h"
#include "model/encoder.h"
#include "scoring/bank_scorer.h"

namespace rocket {
namespace {

using Bank = std::vector<std::shared_ptr<const LoraAdapter>>;

/// Four adapters of different ranks and targets behind the base alone.
Bank bank(const Decoder& decoder) {
  Bank adapters{nullptr};
  for (const std::string name : {"home", "sells", "color-weak", "x-star"}) {
    adapters.push_back(std::make_shared<const LoraAdapter>(
        load_adapter("tests/lab/bank/" + name, decoder.modules(), decoder.compute(), decoder.device())));
  }
  return adapters;
}

std::vector<ShotTokens> shots() {
  std::vector<ShotTokens> all;
  for (const Example& e : test::lab_examples())
    all.push_back({e, {e.ids.begin(), e.ids.begin() + e.target_begin}});
  return all;
}

GenerateOptions generate_options(const Decoder& decoder) {
  const std::vector<std::int64_t>& eos = decoder.config().eos_ids;
  return {.max_new_tokens = 40, .stop_ids = {eos.begin(), eos.end()}, .batch_tokens = 2048};
}

std::vector<std::vector<ShotScore>> scores(const Decoder& decoder) {
  return score_block(decoder, bank(decoder), shots(), generate_options(decoder));
}

double worst_nll(const std::vector<std::vector<ShotScore>>& found,
                 const std::vector<std::vector<ShotScore>>& expected) {
  double worst = 0;
  for (std::size_t a = 0; a < found.size(); ++a) {
    for (std::size_t s = 0; s < found[a].size(); ++s)
      worst = std::max(worst, test::relative(found[a][s].nll, expected[a][s].nll));
  }
  return worst;
}

double share_of_equal_generations(const std::vector<std::vector<ShotScore>>& found,
                                  const std::vector<std::vector<ShotScore>>& expected) {
  double equal = 0, all = 0;
  for (std::size_t a = 0; a < found.size(); ++a) {
    for (std::size_t s = 0; s < found[a].size(); ++s, ++all)
      equal += found[a][s].generated == expected[a][s].generated;
  }
  return equal / all;
}

TEST(GpuModel, ScoresABankInFloat32) {
  const auto expected = scores(test::lab_base()), found = scores(test::lab_base_on_gpu(at::kFloat));
  std::cout << "nll: worst relative difference " << worst_nll(found, expected) << "\n";
  EXPECT_LT(worst_nll(found, expected), 1e-4);
  EXPECT_EQ(share_of_equal_generations(found, expected), 1);
}

TEST(GpuModel, ScoresABankInBfloat16) {
  const auto expected = scores(test::lab_base()), found = scores(test::lab_base_on_gpu(at::kBFloat16));
  std::cout << "nll: worst relative difference " << worst_nll(found, expected) << ", equal generations "
            << share_of_equal_generations(found, expected) << "\n";
  EXPECT_LT(worst_nll(found, expected), 0.1) << "eight bits";
}

TEST(GpuModel, AGenerationDoesNotDependOnItsCompany) {
  const Decoder& decoder = test::lab_base_on_gpu(at::kFloat);
  std::vector<std::vector<TokenId>> prompts;
  for (const ShotTokens& shot : shots()) prompts.push_back(shot.prompt);
  const auto together = generate(decoder, prompts, nullptr, generate_options(decoder));
  for (std::size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(generate(decoder, std::span(&prompts[i], 1), nullptr, generate_options(decoder))[0],
              together[i]);
}

TEST(GpuModel, EmbedsTexts) {
  const Pooling pooling = read_pooling("tests/lab/encoder", "auto");
  std::vector<std::vector<TokenId>> texts;
  const Encoder cpu = Encoder::load("tests/lab/encoder", pooling, at::kFloat, at::kCPU);
  for (std::size_t i = 0; i < 40; ++i) {
    texts.emplace_back(1 + 3 * i % 50);
    for (std::size_t t = 0; t < texts[i].size(); ++t)
      texts[i][t] =
          static_cast<TokenId>((7 * i + 31 * t) % static_cast<std::size_t>(cpu.config().vocabulary));
  }
  const at::Tensor expected = cpu.embed(texts, 512);
  for (const auto& [type, bound] : {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 1e-2}}) {
    const at::Tensor found = Encoder::load("tests/lab/encoder", pooling, type, test::gpu()).embed(texts, 512);
    const double distance = 1 - (found * expected).sum(1).min().item<double>();
    std::cout << at::toString(type) << ": 1 - smallest cosine " << distance << "\n";
    EXPECT_LT(distance, bound);
  }
}

}  // namespace
}  // namespace rocket
