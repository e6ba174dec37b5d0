#include "scoring/choices.h"

#include <gtest/gtest.h>

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

TEST(Choices, ReadTheirPromptOnce) {
  const Decoder decoder = test::load_decoder("stories260k");
  const std::vector<TokenId> prompt = test::random_sequences(40, 512, 300, 9)[7];
  ASSERT_GT(prompt.size(), 50u);
  std::vector<Request> requests = choice_requests({prompt, {{5, 6}, {7}, {8, 9, 10}, {11}}});
  for (Request& request : requests) request.group = 0;
  std::int64_t rows = 0;
  RowCounter counter(rows);
  serve(decoder, requests, &counter, {{}, 8192});
  // The prompt once, its last token again for each choice but the first, and the choices; and, since the end
  // of the last layer is computed for the rows alone that are asked for, those of the 7 tokens of choices.
  EXPECT_EQ(rows, static_cast<std::int64_t>(prompt.size()) + 3 + 7 + 7);
}

}  // namespace
}  // namespace rocket
