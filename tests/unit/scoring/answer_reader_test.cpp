#include "scoring/answer_reader.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using ::rocket::testing::expect_error;
using Answer = std::optional<std::string>;

AnswerReader exact(const std::vector<std::string>& ignored, const TextRules& text = {}) {
  ReadingRules rules;
  for (const std::string& pattern : ignored) rules.ignored.emplace_back(pattern);
  return AnswerReader(AnswerExtractor(AnswerKind::exact, "", text), std::move(rules));
}

Answer filtered(const FilterRule& rule, const std::string& text) {
  return AnswerFilter(rule, "task.filter").apply(text);
}

/// gsm8k.yaml of lm-evaluation-harness: its two filters and the expected answers by its RegexFilter.
TEST(AnswerFilter, ReadsGsm8kBothWays) {
  const FilterRule strict{R"(#### (\-?[0-9\.\,]+))", {}, false};
  const FilterRule flexible{R"((-?[$0-9.,]{2,})|(-?[0-9]+))", {}, true};
  EXPECT_EQ(filtered(strict, "x #### 1,234 and #### 5"), "1,234");
  EXPECT_EQ(filtered(strict, "no mark 5"), std::nullopt);
  EXPECT_EQ(filtered(flexible, "x #### 1,234 and #### 5"), "5");
  EXPECT_EQ(filtered(flexible, "it costs $12.50."), "$12.50.");
  EXPECT_EQ(filtered(flexible, "none"), std::nullopt);
}

TEST(AnswerFilter, GroupsAndMatches) {
  EXPECT_EQ(filtered({"a(b)?(c)?", {}, false}, "ac"), "c");  // the first group that holds text
  EXPECT_EQ(filtered({"a(b)?(c)?", {}, false}, "a"), std::nullopt);
  EXPECT_EQ(filtered({"a(b*)(c)", {}, false}, "ac"), "c");  // a group may match and hold nothing
  EXPECT_EQ(filtered({"a(b)?(c)?", 0, false}, "ac"), "ac");
  EXPECT_EQ(filtered({"a(b)?(c)?", 1, false}, "ac"), std::nullopt);
  EXPECT_EQ(filtered({"a(b)?(c)?", 2, true}, "ab ac"), "c");
  EXPECT_EQ(filtered({"[a-z]+", {}, true}, "one two"), "two");  // no group: the match
  EXPECT_EQ(filtered({"is(.*)\\.", {}, false}, "it is\t so ."), "so");
}

TEST(AnswerFilter, ABadOneIsRefusedWithItsSetting) {
  expect_error(
      [] {
        AnswerFilter({"(", {}, false}, "task.filter");
      },
      ExitCode::config, {"task.filter", "`(`"});
  expect_error(
      [] {
        AnswerFilter({"(a)", 2, false}, "task.gold_filter");
      },
      ExitCode::config, {"task.gold_filter: group 2", "1 groups"});
}

TEST(AnswerReader, TheFilterStandsInFrontOfTheKind) {
  const AnswerReader reader(AnswerExtractor(AnswerKind::number, ""),
                            {.filter = AnswerFilter({"so (.*)", {}, false}, "task.filter")});
  EXPECT_EQ(reader.extract("1 so 2 of 3"), "3");
  EXPECT_EQ(reader.extract("1 and 2"), std::nullopt) << "nothing of what the filter leaves out";
  EXPECT_EQ(reader.gold("4"), "4") << "the gold has a filter of its own";
}

TEST(AnswerReader, AGoldInWhichItsPatternMatchesNothingIsWhole) {
  const AnswerReader reader =
      AnswerReader(AnswerExtractor(AnswerKind::exact, ""),
                   {.gold_filter = AnswerFilter({"#### (.*)", {}, false}, "task.gold_filter")});
  EXPECT_EQ(reader.gold("so\n#### 5"), "5");
  EXPECT_FALSE(reader.takes_whole("so\n#### 5"));
  EXPECT_EQ(reader.gold("answer2"), "answer2");
  EXPECT_TRUE(reader.takes_whole("answer2"));
}

/// regexes_to_ignore, ignore_case, ignore_punctuation, in this order: exact_match of lm-evaluation-harness.
TEST(AnswerReader, PatternsToIgnoreGoFirst) {
  const AnswerReader gsm = exact({",", "\\$", "(?s).*#### ", "\\.$"}, {.ignore_case = true});
  EXPECT_EQ(gsm.gold("He pays\n$3.\n#### 1,234"), "1234");
  EXPECT_EQ(gsm.extract("$1,234."), "1234");
  EXPECT_EQ(exact({"[aeiou]+"}).extract("queue one"), "q n");
  EXPECT_EQ(exact({"x*"}).extract("axbxx"), "ab") << "empty matches, too";
  EXPECT_EQ(exact({"[A-Z]"}, {.ignore_case = true}).extract("aBc"), "ac");
}

TEST(AnswerReader, ChoicesAreNotRead) {
  EXPECT_TRUE(AnswerReader().ranks_choices());
  EXPECT_FALSE(AnswerReader().runs_programs());
  EXPECT_FALSE(exact({}).ranks_choices());
}

}  // namespace
}  // namespace rocket
