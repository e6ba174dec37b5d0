#include "scoring/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace rocket {
namespace {

using nlohmann::json;
using testing::AnyOf;
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
TEST(Answer, PatternsAgreeWithAnotherEngine) {
  std::ifstream file("tests/data/answers/patterns.json");
  const json rows = json::parse(file);
  ASSERT_GT(rows.size(), 600u);
  std::map<std::string, int> found;
  for (const json& row : rows) {
    const std::string kind = row[0], pattern = row[1], text = row[2];
    const auto answer = extract(kKinds.at(kind), text, pattern);
    EXPECT_EQ(answer ? json(*answer) : json(nullptr), row[3]) << row.dump();
    found[kind] += answer.has_value();
  }
  for (const auto& [kind, n] : found) EXPECT_GT(n, 50) << kind;
}

/// tests/data/answers/cases.json: outputs from public reports, with the gold value and whether they are
/// right; null where the gold value is to be refused.
TEST(Answer, VerdictsOnPublicReports) {
  std::ifstream file("tests/data/answers/cases.json");
  const json rows = json::parse(file);
  ASSERT_GT(rows.size(), 100u);
  for (const json& row : rows) {
    const AnswerExtractor extractor(kKinds.at(row[0]), "");
    const std::string generation = row[1], gold = row[2];
    if (row[3].is_null())
      EXPECT_THROW(extractor.gold(gold), Error) << row.dump();
    else
      EXPECT_EQ(extractor.extract(generation) == extractor.gold(gold), row[3].get<bool>()) << row.dump();
  }
}

TEST(Answer, TheRuleThatDecidesIsNamed) {
  const auto rule = [](AnswerKind kind, const char* text, const TextRules& rules = {}) {
    return AnswerExtractor(kind, kind == AnswerKind::regex ? "=(x)" : "", rules).read(text).rule;
  };
  EXPECT_EQ(rule(AnswerKind::exact, "x"), "whole");
  EXPECT_EQ(rule(AnswerKind::regex, "=x"), "first_match");
  EXPECT_EQ(rule(AnswerKind::regex, "=x", {.last = true}), "last_match");
  EXPECT_EQ(rule(AnswerKind::regex, "x"), "nothing");
  EXPECT_EQ(rule(AnswerKind::number, "#### 7"), "hash_mark");
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
    return message_of(ExitCode::data, [&] { AnswerExtractor(kind, "").gold(value); });
  };
  EXPECT_THAT(gold(AnswerKind::choice, "x"), HasSubstr("'x': there is no choice"));
  EXPECT_THAT(gold(AnswerKind::boolean, "maybe"), HasSubstr("no boolean"));
  EXPECT_THAT(gold(AnswerKind::number, "seven"), HasSubstr("no number"));
}

TEST(Answer, AGoldValueOutsideItsPatternIsTakenWhole) {
  const AnswerExtractor regex(AnswerKind::regex, "#### (.*)", {.ignore_case = true});
  EXPECT_EQ(regex.gold("  New\n York"), "new york");
  EXPECT_TRUE(regex.takes_whole("New York"));
  EXPECT_FALSE(regex.takes_whole("#### New York"));
  EXPECT_EQ(regex.extract("It is\n#### NEW YORK"), regex.gold("New York"));
  EXPECT_FALSE(AnswerExtractor(AnswerKind::exact, "").takes_whole("x"));
}

TEST(Answer, AGoldValueOfWhichNothingIsLeftIsRefused) {
  const AnswerExtractor bare(AnswerKind::exact, "", {.ignore_punctuation = true});
  EXPECT_THAT(message_of(ExitCode::data, [&] { bare.gold("?!"); }), HasSubstr("task.ignore_punctuation"));
  const AnswerExtractor regex(AnswerKind::regex, "=(x*)");
  EXPECT_THAT(message_of(ExitCode::data, [&] { regex.gold("a="); }), HasSubstr("'a=': nothing is left"));
  EXPECT_THAT(message_of(ExitCode::data, [&] { regex.gold(" "); }), HasSubstr("nothing is left"));
}

// tests/parity/make_answer_reference.py
TEST(Answer, TextIsComparedAsLmEvaluationHarnessDoes) {
  std::ifstream file("tests/data/answers/text.json");
  const json rows = json::parse(file);
  ASSERT_EQ(rows.size(), 1200u);
  int found = 0, last = 0;
  for (const json& row : rows) {
    const AnswerKind kind = row[0].is_null() ? AnswerKind::exact : AnswerKind::regex;
    const std::string pattern = row[0].is_null() ? "" : row[0], text = row[4];
    const TextRules rules{row[1] == "last", row[2], row[3]};
    const auto answer = AnswerExtractor(kind, pattern, rules).extract(text);
    EXPECT_EQ(answer ? json(*answer) : json(nullptr), row[5]) << row.dump();
    found += answer.has_value();
    last += rules.last && answer != AnswerExtractor(kind, pattern, {false, row[2], row[3]}).extract(text);
  }
  EXPECT_GT(found, 500);
  EXPECT_GT(last, 20) << "rows in which the last match is another one than the first";
}

TEST(Answer, AGoldValueThatWouldBeMisreadIsRefused) {
  const auto refused = [](AnswerKind kind, const char* value) {
    return message_of(ExitCode::data, [&] { AnswerExtractor(kind, "").gold(value); });
  };
  for (const char* value :
       {"12 or 13", "2, 3, 5", "10-3", "1,2,3", "12-15", "3 apples and 4 pears", "5 * 4", "[1, 2]", "1,,000"})
    EXPECT_THAT(refused(AnswerKind::number, value), HasSubstr("more than one number")) << value;
  for (const char* value : {"10:30", "2024-01-02", "3/4/2020", "12:30 pm", "2:1", "1.2.3", "31.12.2024"})
    EXPECT_THAT(refused(AnswerKind::number, value), HasSubstr("a time, a date or a ratio")) << value;
  for (const char* value :
       {"1,5", "12,34", "1.000,50", "1.000.000", "5\u00b2", "2^10", "2\\sqrt{3}", "2\u03c0", "1/0"})
    EXPECT_THAT(refused(AnswerKind::number, value),
                AnyOf(HasSubstr("decimal comma"), HasSubstr("more than one")))
        << value;
  for (const char* value : {"x-3", "(4)-3"})
    EXPECT_THAT(refused(AnswerKind::number, value), AnyOf(HasSubstr("minus"), HasSubstr("more than one")))
        << value;
  EXPECT_THAT(refused(AnswerKind::number, "twelve"), HasSubstr("no number"));
  for (const char* value :
       {"A or B", "(A) or (B)", "A, B and C", "A/B", "Answer: (A) or (B)", "The answer is A/B"})
    EXPECT_THAT(refused(AnswerKind::choice, value), HasSubstr("more than one letter")) << value;
  EXPECT_THAT(refused(AnswerKind::choice, "A cat"), HasSubstr("a word"));
  EXPECT_THAT(refused(AnswerKind::choice, "I do not know"), HasSubstr("a word"));
  EXPECT_THAT(refused(AnswerKind::boolean, "yes or no"), HasSubstr("both"));
  EXPECT_THAT(refused(AnswerKind::exact, " \n"), HasSubstr("blank"));
}

TEST(Answer, GoldValuesInTheirUsualForms) {
  const auto gold = [](AnswerKind kind, const char* value) { return AnswerExtractor(kind, "").gold(value); };
  using Pairs = std::vector<std::pair<const char*, const char*>>;
  const Pairs numbers = {{"18", "18"},
                         {"-3", "-3"},
                         {".5", "0.5"},
                         {"5.", "5"},
                         {"1,234.50", "1234.5"},
                         {"$5", "5"},
                         {"$-5", "-5"},
                         {"50%", "50"},
                         {"18 dollars", "18"},
                         {"x=-7", "-7"},
                         {"3/4", "0.75"},
                         {"2/3", "2/3"},
                         {"$\\frac{3}{4}$", "0.75"},
                         {"The answer is 3/4", "0.75"},
                         {"#### 3/4", "0.75"},
                         {"2.5e-07", "0.00000025"},
                         {"5e-05", "0.00005"},
                         {"1e+16", "10000000000000000"},
                         {"3 x 10^6", "3000000"},
                         {"12 500", "12500"},
                         {"\u22125", "-5"},
                         {"- 5", "-5"},
                         {"-$5", "-5"},
                         {"-\u20ac5", "-5"},
                         {"5\u00bd", "5.5"},
                         {"1.5 million", "1500000"},
                         {"<answer>5</answer>", "5"},
                         {"1,00,000", "100000"},
                         {"He has 3+4=7. #### 7", "7"},
                         {"2+3=5. The answer is 5.", "5"},
                         {"6/2 = 3, so $\\boxed{3}$.", "3"}};
  for (const auto& [value, meant] : numbers) EXPECT_EQ(gold(AnswerKind::number, value), meant) << value;
  const Pairs letters = {{"B", "B"},         {" (B) ", "B"},
                         {"B. A cat", "B"},  {"B) A or C", "B"},
                         {"Answer: B", "B"}, {"The answer is (C) Vitamin A", "C"},
                         {"Option D", "D"},  {"A is wrong. Answer: C", "C"}};
  for (const auto& [value, meant] : letters) EXPECT_EQ(gold(AnswerKind::choice, value), meant) << value;
  EXPECT_EQ(gold(AnswerKind::boolean, "It is not true that... Answer: no"), "no");
  EXPECT_EQ(gold(AnswerKind::boolean, "True"), "yes");
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

TEST(Answer, InvalidUtf8DoesNoHarm) {
  EXPECT_EQ(extract(AnswerKind::number,
                    "\xFF"
                    "7\xC3"),
            "7");
  EXPECT_EQ(extract(AnswerKind::exact, "a\xFF"), "a\uFFFD");
}

}  // namespace
}  // namespace rocket
