#include "scoring/choices.h"

#include <gtest/gtest.h>

#include "adapters/bank_delta.h"
#include "scoring/bank_scorer.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

TEST(Choices, TheFirstWinsATieAndLengthsAreOfTheText) {
  const std::vector<std::string> choices = {"ab", "cd", "\xc3\xa9\xc3\xa9\xc3\xa9", "e"};
  const std::vector<double> logprobs = {-4, -4, -4.5, -3};
  const Preference preference = prefer(logprobs, choices);
  EXPECT_EQ(preference.by_sum, 3);
  EXPECT_EQ(preference.by_character, 2);  // -2, -2, -1.5, -3
  EXPECT_EQ(preference.by_byte, 2);       // -2, -2, -0.75, -3
  EXPECT_EQ(prefer(std::vector<double>{-1, -1}, choices).by_sum, 0);
  EXPECT_EQ(prefer(std::vector<double>{-6, -6, -8, -9}, choices).by_character, 2);
  EXPECT_EQ(prefer(std::vector<double>{-6, -6, -9, -9}, choices).by_character, 0);
  EXPECT_EQ(prefer(std::vector<double>{-6, -6, -9, -9}, choices).by_byte, 2);
}

/// A forward over each whole text, its log-likelihoods added up.
double alone(const Decoder& decoder, const std::vector<TokenId>& prompt, const std::vector<TokenId>& choice) {
  std::vector<TokenId> ids = prompt;
  ids.insert(ids.end(), choice.begin(), choice.end());
  Request request{.ids = ids, .scored_from = static_cast<std::int64_t>(prompt.size())};
  const auto answers = serve(decoder, std::span(&request, 1), static_cast<LinearDelta*>(nullptr), {{}, 8192});
  return -answers[0].nll * static_cast<double>(choice.size());
}

class ChoicesOfLab : public testing::Test {
 protected:
  const Decoder decoder_ = test::load_decoder("stories260k");

  std::vector<ChoiceTokens> questions() const {
    std::vector<ChoiceTokens> made;
    const auto prompts = test::random_sequences(12, 512, 20, 3),
               choices = test::random_sequences(40, 512, 6, 4);
    for (std::size_t q = 0; q < prompts.size(); ++q) {
      made.push_back({prompts[q], {}});
      for (std::size_t c = 0; c < 2 + q % 3; ++c) made.back().continuations.push_back(choices[q * 3 + c]);
    }
    return made;
  }
};

TEST_F(ChoicesOfLab, AreTheSumsOfTextsReadAlone) {
  const auto all = questions();
  const auto logprobs = choice_logprobs(
      decoder_, all, [] { return std::unique_ptr<LinearDelta>(); }, 8192);
  ASSERT_EQ(logprobs.size(), all.size());
  for (std::size_t q = 0; q < all.size(); ++q) {
    ASSERT_EQ(logprobs[q].size(), all[q].continuations.size());
    for (std::size_t c = 0; c < logprobs[q].size(); ++c)
      EXPECT_EQ(logprobs[q][c], alone(decoder_, all[q].prompt, all[q].continuations[c])) << q << " " << c;
  }
  const auto small = choice_logprobs(
      decoder_, all, [] { return std::unique_ptr<LinearDelta>(); }, 30);
  EXPECT_EQ(small, logprobs) << "whatever the batch";
}

/// Counts the rows of all forwards.
class RowCounter : public LinearDelta {
 public:
  explicit RowCounter(std::int64_t& rows) : rows_(rows) {}
  void arrange(const PackedRows& rows) override { rows_ += rows.tokens(); }
  void add(const Backend&, const at::Tensor&, std::span<const std::int64_t>, std::span<at::Tensor>) override {
  }

 private:
  std::int64_t& rows_;
};

TEST_F(ChoicesOfLab, ReadTheirPromptOnce) {
  const std::vector<TokenId> prompt = test::random_sequences(40, 512, 300, 9)[7];
  ASSERT_GT(prompt.size(), 50u);
  const ChoiceTokens question{prompt, {{5, 6}, {7}, {8, 9, 10}, {11}}};
  std::int64_t rows = 0;
  choice_logprobs(
      decoder_, std::span(&question, 1), [&] { return std::make_unique<RowCounter>(rows); }, 8192);
  // The prompt once, its last token again for each choice but the first, and the choices; and, since the end
  // of the last layer is computed for the rows alone that are asked for, those of the 7 tokens of choices.
  EXPECT_EQ(rows, static_cast<std::int64_t>(prompt.size()) + 3 + 7 + 7);
}

TEST_F(ChoicesOfLab, TheBankScoresThemBesideTheTarget) {
  const auto all = questions();
  std::vector<ShotTokens> shots;
  for (const ChoiceTokens& question : all) {
    ShotTokens shot{
        {question.prompt, static_cast<std::int64_t>(question.prompt.size()) - 1}, question.prompt, question};
    shot.example.ids.push_back(2);
    shots.push_back(shot);
  }
  const std::vector<std::shared_ptr<const LoraAdapter>> base = {nullptr};
  const auto scores = score_block(decoder_, base, shots, {.max_new_tokens = 5});
  const auto logprobs = choice_logprobs(
      decoder_, all, [] { return std::unique_ptr<LinearDelta>(); }, 8192);
  const auto nll = nll_block(decoder_, base, shots, 8192);
  for (std::size_t s = 0; s < shots.size(); ++s) {
    EXPECT_EQ(scores[0][s].logprobs, logprobs[s]);
    EXPECT_TRUE(scores[0][s].generated.empty());
    EXPECT_EQ(scores[0][s].nll, nll[0][s]);
  }
}

}  // namespace
}  // namespace rocket
