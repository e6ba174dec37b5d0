#include "text/field_template.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using ::rocket::testing::expect_error;

const JsonValue kItem = parse_json_value(
    R"({"question": "Who?", "n": 3.50, "yes": true, "none": null, "a.b": "dotted", "a": {"b": "inside", "c": "deep"},)"
    R"( "choices": {"text": ["x", "{question}"], "label": ["A", "B"]}, "odd[0]": "bracket"})",
    "here:1");

std::string render(const std::string& text) {
  return FieldTemplate(text, "task.prompt").render(kItem, "here:1");
}

TEST(FieldTemplate, PutsFieldsInOnceAndStripsNothing) {
  EXPECT_EQ(render("Question: {question}\nAnswer: "), "Question: Who?\nAnswer: ");
  EXPECT_EQ(render("{choices.text[1]}|{choices.text.0}|{choices.label[1]}"), "{question}|x|B");
  EXPECT_EQ(render("{n} {yes}"), "3.50 true");
  EXPECT_EQ(render("{a.b} {a.c} {odd[0]}"), "dotted deep bracket");
  EXPECT_EQ(render("no field"), "no field");
  EXPECT_EQ(render(""), "");
}

TEST(FieldTemplate, DoubledBracesStandForThemselves) {
  EXPECT_EQ(render("{{question}} {{{question}}}"), "{question} {Who?}");
}

TEST(FieldTemplate, ItsFieldsAreNamedOnceInOrder) {
  const FieldTemplate made("{choices.text[0]} {question} {choices.text[0]}", "task.prompt");
  EXPECT_EQ(made.fields(), (std::vector<std::string>{"choices.text[0]", "question"}));
  EXPECT_EQ(made.values(kItem, "here:1"), "x\nWho?");
}

TEST(FieldTemplate, BadBracesAreRefusedWithTheirPlace) {
  expect_error([] { FieldTemplate("a {b", "task.prompt"); }, ExitCode::config,
               {"task.prompt", "byte 2", "not closed", "{{"});
  expect_error([] { FieldTemplate("a {b {c}", "task.prompt"); }, ExitCode::config, {"byte 2", "not closed"});
  expect_error([] { FieldTemplate("a} b", "task.prompt"); }, ExitCode::config, {"byte 1", "}}"});
  expect_error([] { FieldTemplate("{}", "task.prompt"); }, ExitCode::config, {"byte 0", "names no field"});
}

TEST(FieldTemplate, AFieldThatIsNoTextIsRefusedWithItsPlace) {
  for (const char* text : {"{absent}", "{none}", "{choices.text[2]}", "{question.x}"})
    expect_error([&] { render(text); }, ExitCode::data,
                 {"here:1: task.prompt: no field '", "there are: question, n"});
  expect_error([] { render("{choices}"); }, ExitCode::data, {"'choices'", "expected a string", "an object"});
  expect_error([] { render("{choices.text}"); }, ExitCode::data, {"'choices.text'", "a list"});
}

TEST(FieldTemplate, ALineOfAListStandsForEachItem) {
  EXPECT_EQ(render("{question}\n{choices.label[*]}. {choices.text[*]}\nAnswer:"),
            "Who?\nA. x\nB. {question}\nAnswer:");
  EXPECT_EQ(render("{choices.label[*]}"), "AB");
  EXPECT_EQ(FieldTemplate("{choices.label[*]}: {question}", "t").values(kItem, "here:1"), "A\nB\nWho?");
  expect_error([] { render("{question[*]}"); }, ExitCode::data,
               {"'question'", "expected a list, got a string"});
  expect_error([] { render("{absent[*]}"); }, ExitCode::data, {"'absent'", "expected a list, got nothing"});
  const JsonValue uneven = parse_json_value(R"({"a": [1, 2], "b": [3]})", "");
  expect_error([&] { FieldTemplate("{a[*]}{b[*]}", "t").render(uneven, "x:1"); }, ExitCode::data,
               {"'a' has 2 items", "'b' in the same line has 1"});
  EXPECT_EQ(plain_path("choices.label[*]"), "choices.label");
}

TEST(FieldTemplate, PlainPathsAreThoseOfColumns) {
  EXPECT_EQ(plain_path("choices.text[0]"), "choices.text.0");
  EXPECT_EQ(plain_path("a[12][3].b"), "a.12.3.b");
  EXPECT_EQ(plain_path("a[x].b[]"), "a[x].b[]");
}

}  // namespace
}  // namespace rocket
