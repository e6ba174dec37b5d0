#include "text/stop_strings.h"

#include <gtest/gtest.h>

namespace rocket {
namespace {

std::vector<TokenId> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> ids;
  for (const Token& token : tokenizer.encode(text)) ids.push_back(token.id);
  return ids;
}

/// As a generation goes: the fewest ids whose text holds a stop string, by looking at the whole text.
std::size_t first_stop(const StopStrings& stop, const std::vector<TokenId>& ids) {
  for (std::size_t n = 1; n <= ids.size(); ++n)
    if (stop.reached(std::span(ids).first(n))) return n;
  return ids.size() + 1;
}

class StopsOf : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = load_tokenizer(std::string("tests/data/tokenizers/") + GetParam());
};

/// The same text in other tokens, cut at every place and at every two places.
TEST_P(StopsOf, AreFoundAtEverySplitOfTokens) {
  const std::string before = "It is 4, I say.", stop = "\n\nQuestion:", text = before + stop + " Who?";
  const StopStrings stops(*tokenizer_, {stop, "</never>"});
  int splits = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    for (std::size_t j = i; j <= text.size(); ++j) {
      std::vector<TokenId> ids;
      for (const auto& piece : {text.substr(0, i), text.substr(i, j - i), text.substr(j)})
        for (const TokenId id : ids_of(*tokenizer_, piece)) ids.push_back(id);
      if (tokenizer_->decode(ids, true) != text) continue;  // a tokenizer that puts spaces between pieces
      ++splits;
      const std::size_t n = first_stop(stops, ids);
      ASSERT_LE(n, ids.size()) << i << " " << j;
      const std::string whole = tokenizer_->decode(std::span(ids).first(n), true);
      const std::string shorter = tokenizer_->decode(std::span(ids).first(n - 1), true);
      EXPECT_NE(whole.find(stop), std::string::npos) << i << " " << j;
      EXPECT_EQ(shorter.find(stop), std::string::npos) << i << " " << j;
      EXPECT_EQ(stops.text(std::span(ids).first(n)), before) << i << " " << j;
      EXPECT_EQ(stops.text(ids), before) << "whatever stands behind it";
    }
  }
  EXPECT_GT(splits, 20);
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, StopsOf, testing::Values("qwen2_like", "llama3_like", "mistral_like"));

class LabStops : public testing::Test {
 protected:
  std::string cut(std::vector<std::string> strings, const std::vector<TokenId>& ids) const {
    return StopStrings(*tokenizer_, std::move(strings)).text(ids);
  }
  std::unique_ptr<Tokenizer> tokenizer_ = load_tokenizer("tests/lab/base");
};

TEST_F(LabStops, WithoutThemTheTextIsWhole) {
  const auto ids = ids_of(*tokenizer_, "a b c");
  EXPECT_EQ(cut({}, ids), "a b c");
  EXPECT_EQ(cut({"z"}, ids), "a b c");
  EXPECT_FALSE(StopStrings(*tokenizer_, {}).reached(ids));
  EXPECT_EQ(cut({"a"}, ids), "");
}

/// for term in stop: text = text.split(term)[0]
TEST_F(LabStops, CutInTheOrderOfTheList) {
  const auto ids = ids_of(*tokenizer_, "x a b c");
  EXPECT_EQ(cut({"c", "b"}, ids), "x a ");
  EXPECT_EQ(cut({"b", "a b"}, ids), "x a ");  // the second is gone with the first
  EXPECT_EQ(cut({"a b", "b"}, ids), "x ");
}

TEST_F(LabStops, CutInFrontOfTheFirstOfSeveral) {
  EXPECT_EQ(cut({"b"}, ids_of(*tokenizer_, "a b c b d")), "a ");
}

TEST_F(LabStops, OneCharacterAtTheEndIsReached) {
  EXPECT_TRUE(StopStrings(*tokenizer_, {"b"}).reached(ids_of(*tokenizer_, "a b")));
}

TEST_F(LabStops, ASpecialTokenCanBeAStringOrBeginOne) {
  std::vector<TokenId> ids = ids_of(*tokenizer_, "one");
  ids.push_back(*tokenizer_->eos());
  for (const TokenId id : ids_of(*tokenizer_, "two")) ids.push_back(id);
  const std::string special = tokenizer_->decode(std::vector<TokenId>{*tokenizer_->eos()}, false);
  ASSERT_FALSE(special.empty());
  EXPECT_EQ(cut({special}, ids), "one");
  EXPECT_EQ(cut({special + "t"}, ids), "one");
  EXPECT_EQ(cut({"e" + special}, ids), "on");
  EXPECT_EQ(cut({"two"}, ids), "one");
}

}  // namespace
}  // namespace rocket
