#include "scoring/bank_scorer.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "adapters/bank.h"
#include "base/error.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

using Adapters = std::vector<std::shared_ptr<const LoraAdapter>>;
using Scores = std::vector<std::vector<ShotScore>>;

/// Adapters and shots of tests/data/model/lab.json, as transformers and PEFT scored them.
class LabBank : public testing::Test {
 protected:
  LabBank() {
    for (const auto& shot : reference["shots"]) {
      shots.push_back({{shot["ids"], shot["begin"]}, shot["prompt"]});
    }
    Bank bank(list_bank({"tests/lab/bank"}, {}), decoder.modules(), at::kFloat, at::kCPU,
              std::int64_t{1} << 30);
    for (const auto& row : reference["scores"]) {
      if (row["adapter"].is_null()) {
        adapters.push_back(nullptr);
        continue;
      }
      for (std::int64_t i = 0; i < bank.size(); ++i) {
        if (bank.entries()[static_cast<std::size_t>(i)].name == row["adapter"])
          adapters.push_back(bank.get(i));
      }
    }
  }

  const nlohmann::json reference = test::read_reference("tests/data/model/lab.json");
  const Decoder decoder = Decoder::load("tests/lab/base", at::kFloat, at::kCPU);
  GenerateOptions options{.max_new_tokens = 64, .stop_ids = {reference["stop"].get<TokenId>()}};
  std::vector<ShotTokens> shots;
  Adapters adapters;
};

TEST_F(LabBank, AgreesWithTransformersAndPeft) {
  ASSERT_EQ(adapters.size(), 5u);
  const Scores scores = score_block(decoder, adapters, shots, options);
  double worst = 0;
  for (std::size_t a = 0; a < adapters.size(); ++a) {
    for (std::size_t s = 0; s < shots.size(); ++s) {
      const auto& expected = reference["scores"][a]["shots"][s];
      const double nll = expected["nll"].get<double>();
      worst = std::max(worst, std::abs(scores[a][s].nll - nll) / nll);
      EXPECT_EQ(scores[a][s].generated, expected["greedy"].get<std::vector<TokenId>>()) << a << " on " << s;
    }
  }
  EXPECT_LT(worst, 1e-5);
  RecordProperty("worst_relative_nll", std::to_string(worst));
}

TEST_F(LabBank, SameBitsWhateverCompanyBatchAndThreads) {
  const Scores together = score_block(decoder, adapters, shots, options);
  const auto expect_same = [&](const Scores& scores, std::size_t first) {
    for (std::size_t a = 0; a < scores.size(); ++a) {
      for (std::size_t s = 0; s < scores[a].size(); ++s) {
        EXPECT_EQ(scores[a][s].nll, together[first + a][s].nll) << first + a << " on " << s;
        EXPECT_EQ(scores[a][s].generated, together[first + a][s].generated) << first + a << " on " << s;
      }
    }
  };
  for (std::size_t a = 0; a < adapters.size(); ++a) {
    expect_same(score_block(decoder, std::span(adapters).subspan(a, 1), shots, options), a);
  }
  expect_same(score_block(decoder, adapters, std::span(shots).first(3), options), 0);
  options.batch_tokens = 100;
  expect_same(score_block(decoder, adapters, shots, options), 0);
  options.batch_tokens = 8192;
  const int before = at::get_num_threads();
  at::set_num_threads(before == 1 ? 2 : 1);
  expect_same(score_block(decoder, adapters, shots, options), 0);
  at::set_num_threads(before);
}

TEST_F(LabBank, NllAloneIsTheSame) {
  const auto scores = score_block(decoder, adapters, shots, {.max_new_tokens = 1, .stop_ids = {}});
  const auto nll = nll_block(decoder, adapters, shots, 8192);
  for (std::size_t a = 0; a < adapters.size(); ++a) {
    for (std::size_t s = 0; s < shots.size(); ++s) EXPECT_EQ(nll[a][s], scores[a][s].nll);
  }
}

TEST_F(LabBank, ATargetThatNothingPredictsIsRefused) {
  std::vector<ShotTokens> bad(2, shots[0]);
  bad[1].example = {{2}, 0};
  EXPECT_THAT([&] { nll_block(decoder, adapters, bad, 8192); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("shot 1")));
}

}  // namespace
}  // namespace rocket
