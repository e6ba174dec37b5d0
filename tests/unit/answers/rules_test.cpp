#include "answers/rules.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "answers/reading.h"

namespace rocket {
namespace {

Reading read(std::string_view kind, std::string_view text) {
  if (kind == "number") return read_number(text);
  if (kind == "choice") return read_choice(text);
  if (kind == "boolean") return BooleanReader().read(text);
  return read_program(text);
}

/// Kinds that scoring/answer.h reads by itself; tests/program/test_extract.py has their examples.
bool reads_as_is(std::string_view kind) {
  return kind == "exact" || kind == "regex";
}

std::optional<std::string> text_or_none(const char* text) {
  return text ? std::optional<std::string>(text) : std::nullopt;
}

TEST(AnswerRules, EachExampleIsDecidedByItsRule) {
  for (const AnswerRule& rule : answer_rules()) {
    if (reads_as_is(rule.kind)) continue;
    const Reading reading = read(rule.kind, rule.example);
    EXPECT_EQ(reading.found, text_or_none(rule.found)) << rule.kind << ": " << rule.example;
    EXPECT_EQ(reading.rule, rule.name) << rule.kind << ": " << rule.example;
  }
}

TEST(AnswerRules, EachFormIsRead) {
  for (const AnswerForm& form : answer_forms())
    EXPECT_EQ(read(form.kind, form.text).found, text_or_none(form.found)) << form.kind << ": " << form.text;
}

TEST(AnswerRules, TheDocumentationShowsTheTable) {
  if (std::getenv("ROCKET_WRITE_ANSWERS")) std::ofstream("configs/answers.md") << answers_page();
  std::ifstream file("configs/answers.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), answers_page())
      << "after a change of the table: ROCKET_WRITE_ANSWERS=1 build/tests/test_answers";
}

}  // namespace
}  // namespace rocket
