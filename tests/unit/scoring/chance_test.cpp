#include "scoring/chance.h"

#include <gtest/gtest.h>

namespace rocket {
namespace {

std::int64_t choice(const char* question, const char* gold) {
  return answers_offered(AnswerKind::choice, question, gold);
}

TEST(Chance, LettersThatAQuestionOffersInTheirOrder) {
  EXPECT_EQ(choice("Which?\nOptions: A b, B g, C o to p, D r to w", "C"), 4);
  EXPECT_EQ(choice("Which?\n(A) one\n(B) two", "A"), 2);
  EXPECT_EQ(choice("A. red\nB. blue\nC. green", "C"), 3);
  EXPECT_EQ(choice("A man asks: A) yes B) no C) perhaps", "B"), 3);
  EXPECT_EQ(choice("I think: A, B, C, D, E, F, G, H, I or J?", "J"), 10);
}

TEST(Chance, IsNotKnownWithoutOptionsOrWithAGoldOutsideThem) {
  EXPECT_EQ(choice("Which letter?", "A"), 0);
  EXPECT_EQ(choice("A man is here", "A"), 0);
  EXPECT_EQ(choice("A one, B two", "C"), 0);
  EXPECT_EQ(answers_offered(AnswerKind::number, "A 1, B 2", "1"), 0);
  EXPECT_EQ(answers_offered(AnswerKind::exact, "A, B", "A"), 0);
  EXPECT_EQ(answers_offered(AnswerKind::boolean, "Is it?", "yes"), 2);
}

TEST(Chance, IsTheMeanOverTheQuestionsAndKnownOfAllOrNotAtAll) {
  const std::int64_t four[] = {4, 4, 4}, mixed[] = {2, 4}, one_unknown[] = {2, 0};
  EXPECT_DOUBLE_EQ(chance_level(four).value(), 0.25);
  EXPECT_DOUBLE_EQ(chance_level(mixed).value(), 0.375);
  EXPECT_FALSE(chance_level(one_unknown));
  EXPECT_FALSE(chance_level({}));
}

}  // namespace
}  // namespace rocket
