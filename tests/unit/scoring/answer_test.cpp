#include "scoring/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace rocket {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::map<std::string, AnswerKind> kKinds = {
    {"choice", AnswerKind::choice}, {"boolean", AnswerKind::boolean}, {"number", AnswerKind::number},
    {"exact", AnswerKind::exact},   {"regex", AnswerKind::regex},     {"code", AnswerKind::code}};

std::optional<std::string> extract(AnswerKind kind, const std::string& text,
                                   const std::string& pattern = "") {
  return AnswerExtractor(kind, pattern).extract(text);
}

/// Runs `f`, which must throw an Error with this code, and gives its message.
template <class F>
std::string message_of(ExitCode code, F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

// tests/parity/make_answer_reference.py
TEST(Answer, AgreesWithThePublishedPatternsInAnotherEngine) {
  std::ifstream file("tests/data/answers.json");
  const json rows = json::parse(file);
  ASSERT_GT(rows.size(), 3000u);
  std::map<std::string, int> found;
  for (const json& row : rows) {
    const std::string kind = row[0], pattern = row[1], text = row[2];
    const auto answer = extract(kKinds.at(kind), text, pattern);
    EXPECT_EQ(answer ? json(*answer) : json(nullptr), row[3]) << row.dump();
    found[kind] += answer.has_value();
  }
  for (const auto& [kind, n] : found) EXPECT_GT(n, 50) << kind;
}

struct Case {
  AnswerKind kind;
  const char* text;
  std::optional<std::string> answer;
};

// What the patterns come to, for a reader; the file above holds far more.
const Case kCases[] = {
    {AnswerKind::choice, "The answer is (B).", "B"},
    {AnswerKind::choice, "Answer: (b) B", "B"},
    {AnswerKind::choice, "Answer: Answer: C", "C"},
    {AnswerKind::choice, "Answer: A\nAnswer: D", "D"},
    {AnswerKind::choice, "A man would say C", "A"},
    {AnswerKind::choice, "I'd say C", "C"},
    {AnswerKind::choice, "anſwer: B, not A", "B"},
    {AnswerKind::choice, "b", std::nullopt},
    {AnswerKind::boolean, "yes, because no", "yes"},
    {AnswerKind::boolean, "no. Answer: TRUE", "yes"},
    {AnswerKind::boolean, "yesterday", std::nullopt},
    {AnswerKind::number, "$1,234.50", "1234.5"},
    {AnswerKind::number, "x = -3", "-3"},
    {AnswerKind::number, "10-3", "3"},
    {AnswerKind::number, "x-3", "3"},
    {AnswerKind::number, "(4)-3", "3"},
    {AnswerKind::number, "é-3", "3"},
    {AnswerKind::number, "2/3", "3"},
    {AnswerKind::number, "1e3", "3"},
    {AnswerKind::number, "-0.00", "0"},
    {AnswerKind::number, ".5", "0.5"},
    {AnswerKind::number, "007.", "7"},
    {AnswerKind::number, "none", std::nullopt},
    {AnswerKind::exact, "  New \n York ", "New York"},
    {AnswerKind::exact, "", ""},
    {AnswerKind::code, "Facts. Answer: def f(x): return 1\n", "def f(x): return 1"},
    {AnswerKind::code, "Answer: 7\n```python\na = 1\n```\n```\nb = 2\n```\n", "b = 2\n"},
    {AnswerKind::code, "```python\na = 1\n```\nFor example:\n```python\nprint(", "a = 1\n"},
    {AnswerKind::code, "```python\ndef f():\n  return", "def f():\n  return"},
    {AnswerKind::code, " x = 1", "x = 1"},
};

TEST(Answer, TableOfCases) {
  for (const Case& c : kCases) EXPECT_EQ(extract(c.kind, c.text), c.answer) << c.text;
}

TEST(Answer, NumbersOfAnyLengthStayExact) {
  const std::string digits(5000, '7');
  EXPECT_EQ(extract(AnswerKind::number, "0" + digits + ".250"), digits + ".25");
}

TEST(Answer, GoldValuesAreReadLikeGenerations) {
  EXPECT_EQ(AnswerExtractor(AnswerKind::choice, "").gold("B"), "B");
  EXPECT_EQ(AnswerExtractor(AnswerKind::choice, "").gold(" (B) "), "B");
  EXPECT_EQ(AnswerExtractor(AnswerKind::number, "").gold("#### 1,000"), "1000");
  EXPECT_EQ(AnswerExtractor(AnswerKind::boolean, "").gold("False"), "no");
  EXPECT_EQ(AnswerExtractor(AnswerKind::exact, "").gold(" a  b"), "a b");
  EXPECT_EQ(AnswerExtractor(AnswerKind::code, "").gold("whatever"), "whatever");
  EXPECT_EQ(AnswerExtractor(AnswerKind::regex, "#### (.*)").gold("so #### a  b"), "a b");
}

TEST(Answer, AGoldValueWithoutAMatchIsDataError) {
  const auto gold = [](AnswerKind kind, const char* value) {
    return message_of(ExitCode::data,
                      [&] { AnswerExtractor(kind, kind == AnswerKind::regex ? "(x)" : "").gold(value); });
  };
  EXPECT_THAT(gold(AnswerKind::choice, "b"), HasSubstr("'b': there is no choice"));
  EXPECT_THAT(gold(AnswerKind::boolean, "maybe"), HasSubstr("no boolean"));
  EXPECT_THAT(gold(AnswerKind::number, "seven"), HasSubstr("no number"));
  EXPECT_THAT(gold(AnswerKind::regex, "y"), HasSubstr("`(x)` matches nothing"));
}

TEST(Answer, PatternsNeedExactlyOneGroup) {
  for (const char* pattern : {"", "x", "(a)(b)", "(?:a)", "((a))"})
    EXPECT_THAT(message_of(ExitCode::config, [&] { AnswerExtractor(AnswerKind::regex, pattern); }),
                HasSubstr("exactly one group"))
        << pattern;
  EXPECT_THAT(message_of(ExitCode::config, [] { AnswerExtractor(AnswerKind::regex, "(a"); }),
              HasSubstr("task.pattern"));
  EXPECT_NO_THROW(AnswerExtractor(AnswerKind::regex, "(?i)(?:a|b)=(c)"));
}

TEST(Answer, AGroupThatTookNoPartIsNoAnswer) {
  EXPECT_EQ(extract(AnswerKind::regex, "x", "x|(y)"), std::nullopt);
  EXPECT_EQ(extract(AnswerKind::regex, "y", "x|(y)"), "y");
}

TEST(Answer, EndlessRepetitionTakesLinearTime) {
  // What a model that has lost the thread writes; the published patterns would look at every pair of dashes.
  const std::string text = "Answer: " + std::string(1'000'000, '-');
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(extract(AnswerKind::choice, text), std::nullopt);
  EXPECT_EQ(extract(AnswerKind::boolean, text), std::nullopt);
  EXPECT_EQ(extract(AnswerKind::number, text + std::string(1'000'000, ',') + "7"), "7");
  EXPECT_EQ(extract(AnswerKind::number, "1" + std::string(1'000'000, ',')), "1");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Answer, InvalidUtf8DoesNoHarm) {
  EXPECT_EQ(extract(AnswerKind::number,
                    "\xFF"
                    "7\xC3"),
            "7");
  EXPECT_EQ(extract(AnswerKind::exact, "a\xFF"), "a\uFFFD");
}

}  // namespace
}  // namespace rocket
