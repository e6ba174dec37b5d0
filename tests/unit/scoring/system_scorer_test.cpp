#include "scoring/system_scorer.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>

#include "adapters/lora.h"
#include "scoring/bank_scorer.h"
#include "scoring/choices.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

using Answers = std::vector<std::vector<SystemAnswer>>;

std::vector<std::vector<double>> logprobs_of(const std::vector<SystemAnswer>& answers) {
  std::vector<std::vector<double>> all;
  for (const SystemAnswer& answer : answers) all.push_back(answer.logprobs);
  return all;
}

/// A forward over each whole text, its log-likelihoods added up.
double alone(const Decoder& decoder, const std::vector<TokenId>& prompt, const std::vector<TokenId>& choice) {
  std::vector<TokenId> ids = prompt;
  ids.insert(ids.end(), choice.begin(), choice.end());
  Request request{.ids = ids, .scored_from = static_cast<std::int64_t>(prompt.size())};
  const auto answers = serve(decoder, std::span(&request, 1), static_cast<LinearDelta*>(nullptr), {{}, 8192});
  return -answers[0].nll * static_cast<double>(choice.size());
}

std::vector<QuestionTokens> random_choices() {
  std::vector<QuestionTokens> made;
  const auto prompts = test::random_sequences(12, 512, 20, 3),
             choices = test::random_sequences(40, 512, 6, 4);
  for (std::size_t q = 0; q < prompts.size(); ++q) {
    made.push_back({{}, {prompts[q], {}}});
    for (std::size_t c = 0; c < 2 + q % 3; ++c)
      made.back().choices.continuations.push_back(choices[q * 3 + c]);
  }
  return made;
}

class ChoicesOfTheBase : public testing::Test {
 protected:
  const Decoder decoder_ = test::load_decoder("stories260k");
  const std::vector<ModelSystem> base_ = std::vector<ModelSystem>(1);
  const std::vector<QuestionTokens> questions_ = random_choices();
};

TEST_F(ChoicesOfTheBase, AreTheSumsOfTextsReadAlone) {
  const Answers answers = answer_block(decoder_, base_, questions_, {});
  ASSERT_EQ(answers[0].size(), questions_.size());
  for (std::size_t q = 0; q < questions_.size(); ++q) {
    const ChoiceTokens& choices = questions_[q].choices;
    const SystemAnswer& answer = answers[0][q];
    ASSERT_EQ(answer.logprobs.size(), choices.continuations.size());
    std::size_t tokens = choices.prompt.size();
    for (std::size_t c = 0; c < answer.logprobs.size(); ++c) {
      EXPECT_EQ(answer.logprobs[c], alone(decoder_, choices.prompt, choices.continuations[c]))
          << q << " " << c;
      tokens += choices.continuations[c].size();
    }
    EXPECT_EQ(answer.tokens, static_cast<std::int64_t>(tokens));
    EXPECT_GT(answer.seconds, 0);
  }
  EXPECT_EQ(logprobs_of(answer_block(decoder_, base_, questions_, {.batch_tokens = 30})[0]),
            logprobs_of(answers[0]))
      << "whatever the batch";
}

TEST_F(ChoicesOfTheBase, AreThoseThatTheBankScoresBesideTheTarget) {
  std::vector<ShotTokens> shots;
  for (const auto& [none, choices] : questions_) {
    ShotTokens shot{
        {choices.prompt, static_cast<std::int64_t>(choices.prompt.size()) - 1}, choices.prompt, choices};
    shot.example.ids.push_back(2);
    shots.push_back(shot);
  }
  const std::vector<std::shared_ptr<const LoraAdapter>> base = {nullptr};
  const auto scores = score_block(decoder_, base, shots, {.max_new_tokens = 5});
  const auto nll = nll_block(decoder_, base, shots, 8192);
  const Answers answers = answer_block(decoder_, base_, questions_, {});
  for (std::size_t s = 0; s < shots.size(); ++s) {
    EXPECT_EQ(scores[0][s].logprobs, answers[0][s].logprobs);
    EXPECT_TRUE(scores[0][s].generated.empty());
    EXPECT_EQ(scores[0][s].nll, nll[0][s]);
  }
}

/// The lab's base, two adapters of its bank and a mixture of both, whose routers are not zero.
class SystemsOfTheLab : public testing::Test {
 protected:
  SystemsOfTheLab() {
    const at::NoGradGuard no_grad;
    std::vector<LoraAdapter> experts;
    for (const char* name : {"home", "tool"}) {
      experts.push_back(
          load_adapter(std::string("tests/lab/bank/") + name, decoder_.modules(), at::kFloat, at::kCPU));
      systems_.push_back({std::make_shared<LoraAdapter>(experts.back())});
    }
    for (const std::int64_t top_k : {1, 2}) {
      mixtures_.push_back(Mixture::assemble(experts, decoder_.modules(), {.top_k = top_k}, at::kCPU));
      at::manual_seed(7);
      for (const MixtureModule& m : mixtures_.back().modules()) m.router_NI.normal_();
    }
    systems_.insert(systems_.begin(), {nullptr, &mixtures_[0]});
    systems_.push_back({});
    systems_.push_back({nullptr, &mixtures_[1]});
    for (auto& prompt : test::random_sequences(9, 500, 24, 5)) questions_.push_back({std::move(prompt), {}});
    for (auto& choices : random_choices()) questions_.push_back(std::move(choices));
  }

  const Decoder decoder_ = Decoder::load("tests/lab/base", at::kFloat, at::kCPU);
  std::deque<Mixture> mixtures_;
  std::vector<ModelSystem> systems_;  // a mixture, both adapters, the base, another mixture
  std::vector<QuestionTokens> questions_;
  const GenerateOptions options_{.max_new_tokens = 12};
};

void expect_same(const std::vector<SystemAnswer>& a, const std::vector<SystemAnswer>& b, std::size_t system) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t q = 0; q < a.size(); ++q) {
    EXPECT_EQ(a[q].generated, b[q].generated) << system << " on " << q;
    EXPECT_EQ(a[q].logprobs, b[q].logprobs) << system << " on " << q;
    EXPECT_EQ(a[q].tokens, b[q].tokens) << system << " on " << q;
  }
}

TEST_F(SystemsOfTheLab, AnswerTogetherAsEachAlone) {
  const Answers together = answer_block(decoder_, systems_, questions_, options_);
  ASSERT_EQ(together.size(), systems_.size());
  for (std::size_t s = 0; s < systems_.size(); ++s) {
    const ModelSystem& system = systems_[s];
    expect_same(answer_block(decoder_, std::span(&system, 1), questions_, options_)[0], together[s], s);
  }
  // The same through the deltas of one system.
  for (std::size_t s = 0; s < systems_.size(); ++s) {
    for (std::size_t q = 0; q < 9; ++q) {
      std::unique_ptr<LinearDelta> delta;
      if (systems_[s].mixture != nullptr)
        delta = std::make_unique<MixtureDelta>(*systems_[s].mixture);
      else
        delta = std::make_unique<BankDelta>(std::vector{systems_[s].adapter});
      const std::vector<std::vector<TokenId>> prompt = {questions_[q].prompt};
      EXPECT_EQ(generate(decoder_, prompt, delta.get(), options_)[0], together[s][q].generated)
          << s << " on " << q;
    }
  }
}

TEST_F(SystemsOfTheLab, DifferFromEachOther) {
  const Answers together = answer_block(decoder_, systems_, questions_, options_);
  for (std::size_t a = 0; a < systems_.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b)
      EXPECT_NE(logprobs_of(together[a]), logprobs_of(together[b])) << a << " and " << b;
  }
}

TEST_F(SystemsOfTheLab, SmallBatchesCutAStretchOfAMixture) {
  const Answers whole = answer_block(decoder_, systems_, questions_, options_);
  GenerateOptions small = options_;
  small.batch_tokens = 40;
  const Answers cut = answer_block(decoder_, systems_, questions_, small);
  for (std::size_t s = 0; s < systems_.size(); ++s) expect_same(cut[s], whole[s], s);
}

TEST_F(SystemsOfTheLab, TimesAddUpToThatOfTheCall) {
  const auto start = std::chrono::steady_clock::now();
  const Answers answers = answer_block(decoder_, systems_, questions_, options_);
  const double all = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  double sum = 0;
  for (const auto& of_system : answers) {
    for (const SystemAnswer& answer : of_system) sum += answer.seconds;
  }
  EXPECT_GT(sum, 0.2 * all);
  EXPECT_LE(sum, all);
}

}  // namespace
}  // namespace rocket
