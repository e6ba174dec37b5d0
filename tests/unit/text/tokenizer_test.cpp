#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "text/base64.h"
#include "text/pattern.h"
#include "text/prefix_tree.h"
#include "text/tokenizer_pretokenizer.h"
#include "text/unicode.h"

namespace rocket {
namespace {

double seconds_for(const Tokenizer& tokenizer, const std::string& text) {
  const auto start = std::chrono::steady_clock::now();
  tokenizer.encode(text);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string result;
  for (std::size_t i = 0; i < times; ++i) result += text;
  return result;
}

std::string random_letters(std::size_t n) {
  std::mt19937 random(7);
  std::string text;
  for (std::size_t i = 0; i < n; ++i) text += static_cast<char>('a' + random() % 26);
  return text;
}

TEST(Tokenizer, AMegabyteWithoutASpaceTakesAboutAsLongAsOneWith) {
  const auto base = load_tokenizer("tests/lab/base");
  const auto qwen = load_tokenizer("tests/data/tokenizers/qwen2_like");
  std::vector<std::unique_ptr<Tokenizer>> others;
  for (const char* name : {"llama2_like", "mistral_like", "xlmr_like", "xlmr_model", "pieces_like"})
    others.push_back(load_tokenizer(std::string("tests/data/tokenizers/") + name));
  std::vector<const Tokenizer*> all = {base.get(), qwen.get()};
  for (const auto& other : others) all.push_back(other.get());
  for (const Tokenizer* tokenizer : all) {
    // Quadratic work on 10^6 symbols would take minutes.
    EXPECT_LT(seconds_for(*tokenizer, random_letters(1'000'000)), 5);
    for (const char* part : {"a", "ab", " ", "\n", "1", "!", "é", "\t \n"})
      EXPECT_LT(seconds_for(*tokenizer, repeated(part, 1'000'000 / std::string(part).size())), 5) << part;
  }
  EXPECT_LT(seconds_for(*qwen, repeated("\u0301\u0323", 200'000)), 5);
}

TEST(Tokenizer, NothingOfALongTextIsLost) {
  const auto tokenizer = load_tokenizer("tests/data/tokenizers/qwen2_like");
  for (const std::string& text :
       {random_letters(300'000), repeated(" ", 300'000), repeated("(\n", 150'000)}) {
    std::vector<TokenId> ids;
    for (const Token& token : tokenizer->encode(text)) ids.push_back(token.id);
    EXPECT_EQ(tokenizer->decode(ids, false), text);
  }
}

TEST(Tokenizer, WhatIsNoUtf8IsReadAsReplacementCharacters) {
  const auto tokenizer = load_tokenizer("tests/lab/base");
  const std::string broken =
      "a\xFF\xE4\xBD"
      "b";
  const auto tokens = tokenizer->encode(broken);
  const auto clean = tokenizer->encode(
      "a\uFFFD\uFFFD"
      "b");
  ASSERT_EQ(tokens.size(), clean.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(tokens[i].id, clean[i].id);
  EXPECT_EQ(tokens.back().begin, 4);
  EXPECT_EQ(tokens.back().end, 5);
}

TEST(Tokenizer, ALongTextDecodesInAboutItsOwnTime) {
  for (const char* name : {"llama2_like", "xlmr_like", "symbols_like"}) {
    const auto tokenizer = load_tokenizer(std::string("tests/data/tokenizers/") + name);
    const std::vector<TokenId> ids = tokenizer->ids_with_specials(repeated("a b\u00e9 ", 200'000));
    const auto start = std::chrono::steady_clock::now();
    EXPECT_GT(tokenizer->decode(ids, false).size(), 500'000u);
    EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 5) << name;
  }
}

TEST(PrefixTree, FindsAllPrefixes) {
  const PrefixTree tree({{"b", 7}, {"ab", 1}, {"", 9}, {"abc", 2}, {"a", 0}, {"ab", 3}, {"\xff", 4}});
  std::vector<std::pair<std::size_t, std::int32_t>> found;
  const auto collect = [&](std::size_t length, std::int32_t id) { found.emplace_back(length, id); };
  tree.for_each_prefix("xabcd", 1, collect);
  EXPECT_EQ(found, (std::vector<std::pair<std::size_t, std::int32_t>>{{1, 0}, {2, 3}, {3, 2}}));
  found.clear();
  tree.for_each_prefix("\xff", 0, collect);
  EXPECT_EQ(found, (std::vector<std::pair<std::size_t, std::int32_t>>{{1, 4}}));
  found.clear();
  PrefixTree().for_each_prefix("a", 0, collect);
  tree.for_each_prefix("xa", 0, collect);
  EXPECT_TRUE(found.empty());
}

TEST(Base64, ReadsWhatIsPadded) {
  EXPECT_EQ(from_base64(""), "");
  EXPECT_EQ(from_base64("aGVsbG8="), "hello");
  EXPECT_EQ(from_base64("+/8AAA=="), std::string("\xfb\xff\0\0", 4));
  for (const char* broken : {"a", "ab", "abc", "ab=c", "a===", "====", "aGV bG8="})
    EXPECT_FALSE(from_base64(broken)) << broken;
}

TEST(Tokenizer, UnknownIdsDecodeToNothing) {
  const auto tokenizer = load_tokenizer("tests/lab/base");
  const auto a = *tokenizer->id_of("a");
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{a, 1'000'000, -1, a}, false), "aa");
}

TEST(Tokenizer, PartsOfACharacterDecodeToReplacementCharacters) {
  const auto tokenizer = load_tokenizer("tests/data/tokenizers/llama3_like");
  std::vector<TokenId> ids;
  for (const Token& token : tokenizer->encode("\U00010348")) ids.push_back(token.id);
  ASSERT_EQ(ids.size(), 4u);
  EXPECT_EQ(tokenizer->decode(std::span(ids).first(3), false), "\uFFFD");
  EXPECT_EQ(tokenizer->decode(std::span(ids).subspan(1), false), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(tokenizer->decode(ids, false), "\U00010348");
}

TEST(Tokenizer, VocabularyIsOneMoreThanTheLargestId) {
  EXPECT_EQ(load_tokenizer("tests/lab/base")->vocabulary(), 1600);
  EXPECT_EQ(load_tokenizer("tests/lab/encoder")->vocabulary(), 718);
}

TEST(Tokenizer, ThreadsShareOne) {
  const auto tokenizer = load_tokenizer("tests/lab/base");
  const std::string text = "What is the job of the friend of Zekor? " + random_letters(200);
  const auto expected = tokenizer->ids_with_specials(text);
  std::vector<std::thread> threads;
  std::vector<int> differences(4);
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) differences[t] += tokenizer->ids_with_specials(text) != expected;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(differences, std::vector<int>(4));
}

TEST(Unicode, ReplacesMaximalSubparts) {
  // The examples of the Unicode standard, tables 3-8 to 3-11.
  const std::string r = "\uFFFD";
  EXPECT_EQ(to_utf8_lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(to_utf8_lossy("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(to_utf8_lossy("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(to_utf8_lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(to_utf8_lossy("\xF0\x9F\x91"), r);
  EXPECT_EQ(to_utf8_lossy("häß \U0001F600"), "häß \U0001F600");
}

TEST(Unicode, FoldsWhiteSpace) {
  EXPECT_EQ(fold_white_space(" \t a\u00a0\u3000b\r\n\u2028c "), "a b c");
  EXPECT_EQ(fold_white_space("  \n"), "");
  EXPECT_EQ(fold_white_space("a\u200bb"), "a\u200bb");
}

TEST(Unicode, KnowsWhetherThereIsMoreThanWhiteSpace) {
  for (const char* blank : {"", " ", "\t\r\n\f\v", "\u00a0\u3000 \u2028"})
    EXPECT_TRUE(is_white_space_only(blank)) << blank;
  for (const char* text : {"a", "  a ", "\u200b", "\xff", " \xe3\x80", "\x1c"})
    EXPECT_FALSE(is_white_space_only(text)) << text;
}

TEST(Pattern, WalksOverEmptyMatches) {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  Pattern("x*").for_each("éxx", [&](Match match) { found.emplace_back(match.begin, match.end); });
  EXPECT_EQ(found, (std::vector<std::pair<std::size_t, std::size_t>>{{0, 0}, {2, 4}, {4, 4}}));
}

TEST(Pattern, ClassesAreThoseOfUnicode16) {
  const auto matches = [](const char* pattern, const char* text) {
    const auto match = oniguruma_pattern(pattern).find(text, 0);
    return match && match->end == std::string_view(text).size();
  };
  EXPECT_TRUE(matches("\\p{L}", "\U00031350"));
  EXPECT_TRUE(matches("[\\p{L}x]", "\U00010D4A"));
  EXPECT_FALSE(matches("\\P{L}", "\U00031350"));
  EXPECT_FALSE(matches("[^\\s\\p{L}]", "\U00031350"));
  EXPECT_TRUE(matches("\\p{N}", "\U00010D40"));
  EXPECT_TRUE(matches("\\s", "\u0085"));
  EXPECT_FALSE(matches("\\s", "\u180e"));
  EXPECT_TRUE(matches("\\S", "\u180e"));
  EXPECT_TRUE(matches("(?i:'s)", "'\u017f"));
}

TEST(Pattern, DeepBacktrackingNeitherFailsNorCuts) {
  const std::string text = repeated("ab", 300'000) + "c";
  const auto match = Pattern("(?:a|b|ab)*c").find(text, 0);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->end, text.size());
}

}  // namespace
}  // namespace rocket
