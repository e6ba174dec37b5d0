#include "text/task_form.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using ::rocket::testing::expect_error;

Record filled(const TaskFields& fields, const std::string& json, Record record = {}) {
  record.file = "items.jsonl";
  record.line = 7;
  TaskForm(fields).fill(record, parse_json_value(json, "items.jsonl:7"), true);
  return record;
}

const std::string kArc =
    R"({"question": "Q?", "choices": {"text": ["cat", "dog", "owl"], "label": ["1", "2", "3"]}, "answerKey": "3"})";

const TaskFields kArcFields{.prompt = "Question: {question}\nAnswer:",
                            .choices = {"choices.text", {}},
                            .labels = {"choices.label", {}},
                            .gold = "answerKey"};

TEST(TaskForm, AnItemOfAnyFormBecomesAPromptChoicesAndATarget) {
  const Record record = filled(kArcFields, kArc);
  EXPECT_EQ(record.prompt, "Question: Q?\nAnswer:");
  EXPECT_EQ(record.instruction, "Q?");  // what decontamination and the encoder see
  EXPECT_EQ(record.choices, (std::vector<std::string>{"cat", "dog", "owl"}));
  EXPECT_EQ(record.right_choice, 2u);
  EXPECT_EQ(record.answer, "owl");
  EXPECT_EQ(record.output, "owl");
  EXPECT_EQ(record.target(), " owl");
}

TEST(TaskForm, WhatARecordHasStays) {
  Record own;
  own.instruction = "its own";
  own.output = "written";
  const Record record = filled(kArcFields, kArc, own);
  EXPECT_EQ(record.instruction, "its own");
  EXPECT_EQ(record.target(), "written");
  own.output = " \n";
  own.rationale = "because";
  EXPECT_EQ(filled(kArcFields, kArc, own).target(), "because");
  own.rationale.reset();
  EXPECT_EQ(filled(kArcFields, kArc, own).target(), " owl");
}

TEST(TaskForm, WithoutSettingsNothingChanges) {
  Record own;
  own.instruction = "i";
  own.answer = "a";
  const Record record = filled({}, R"({"question": 1})", own);
  EXPECT_FALSE(record.prompt);
  EXPECT_EQ(record.target(), "");
  EXPECT_TRUE(TaskForm().paths().empty());
}

TEST(TaskForm, ChoicesFromSeveralFieldsAndFromTheSettingItself) {
  TaskFields fields{.choices = {"", {"sol1", "sol2"}}, .gold = "label"};
  EXPECT_EQ(filled(fields, R"({"sol1": "a", "sol2": "b", "label": 1})").answer, "b");
  fields.choices.members = {"=no", "=yes"};
  EXPECT_EQ(filled(fields, R"({"label": true})").answer, "yes");
  EXPECT_EQ(filled(fields, R"({"label": false})").answer, "no");
  EXPECT_EQ(filled(fields, R"({"label": "1"})").answer, "yes");  // an index in a string
  EXPECT_EQ(filled(fields, R"({"label": "no"})").answer, "no");
}

TEST(TaskForm, AGoldThatCouldMeanTwoChoicesIsRefused) {
  TaskFields fields{.choices = {"c", {}}, .gold = "g"};
  expect_error([&] { filled(fields, R"({"c": ["1", "2", "0"], "g": "2"})"); }, ExitCode::data,
               {"items.jsonl:7: task.gold: '2'", "choice 1", "task.labels"});
  EXPECT_EQ(filled(fields, R"({"c": ["1", "2", "0"], "g": 2})").answer, "0");
  EXPECT_EQ(filled(fields, R"({"c": ["0", "1", "2"], "g": "2"})").answer, "2");
  fields.labels = {"c", {}};
  EXPECT_EQ(filled(fields, R"({"c": ["1", "2", "0"], "g": "2"})").answer, "2");
}

TEST(TaskForm, AGoldFieldAloneIsTheAnswer) {
  const TaskFields fields{.prompt = "{question}", .gold = "solution", .delimiter = ""};
  const Record record = filled(fields, R"({"question": "2+2", "solution": 4})");
  EXPECT_EQ(record.answer, "4");
  EXPECT_EQ(record.target(), "4");
  EXPECT_TRUE(record.choices.empty());
}

TEST(TaskForm, WhatIsWrongWithAnItemIsSaidWithItsPlaceAndSetting) {
  const auto refused = [](const TaskFields& fields, const std::string& json, std::vector<std::string> parts) {
    for (const std::string& part : parts)
      expect_error([&] { filled(fields, json); }, ExitCode::data, {"items.jsonl:7: ", part});
  };
  refused(kArcFields, R"({"choices": {}})", {"task.prompt: no field 'question'; there are: choices"});
  refused(kArcFields, R"({"question": "q", "choices": {"text": "x"}, "answerKey": "1"})",
          {"task.choices: field 'choices.text': expected a list, got a string"});
  refused(kArcFields, R"({"question": "q", "choices": {"text": ["x"]}, "answerKey": "1"})",
          {"task.choices: expected two choices or more, got 1"});
  refused(kArcFields,
          R"({"question": "q", "choices": {"text": ["x", ""], "label": ["1", "2"]}, "answerKey": "1"})",
          {"task.choices: choice 1 (from 0) is empty"});
  refused(kArcFields,
          R"({"question": "q", "choices": {"text": ["x", ["y"]], "label": ["1", "2"]}, "answerKey": "1"})",
          {"task.choices: 'choices.text': field '1': expected a string", "got a list"});
  refused(kArcFields,
          R"({"question": "q", "choices": {"text": ["x", "y"], "label": ["1"]}, "answerKey": "1"})",
          {"task.labels: 1 labels for 2 choices"});
  refused(kArcFields,
          R"({"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "D"})",
          {"task.gold: 'D' is none of the labels '1', '2'"});
  refused(kArcFields, R"({"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}})",
          {"task.gold: no field 'answerKey'"});
  TaskFields index = kArcFields;
  index.labels = {};
  refused(index, R"({"question": "q", "choices": {"text": ["x", "y"]}, "answerKey": 2})",
          {"task.gold: 2 is no index of 2 choices"});
  refused(index, R"({"question": "q", "choices": {"text": ["x", "y"]}, "answerKey": "z"})",
          {"task.gold: 'z' is neither an index from 0 nor one of the choices 'x', 'y'"});
}

TEST(TaskForm, TheTargetOfAShotMayHaveAFormOfItsOwn) {
  const TaskFields fields{.prompt = "{q}", .target = "{code}\n[DONE]", .gold = "code", .delimiter = ""};
  const std::string json = R"({"q": "do", "code": "x = 1"})";
  EXPECT_EQ(filled(fields, json).target(), "x = 1\n[DONE]");
  EXPECT_EQ(filled(fields, json).answer, "x = 1");
  Record item;
  TaskForm(fields).fill(item, parse_json_value(json, "x:1"), false);
  EXPECT_EQ(item.target(), "x = 1");
}

TEST(TaskForm, NamesThePathsThatItReads) {
  TaskFields fields = kArcFields;
  fields.prompt = "{question} {choices.text[0]}";
  fields.description = "About {subject}.";
  fields.labels = {"", {"=A", "second"}};
  EXPECT_EQ(TaskForm(fields).paths(), (std::vector<std::string>{"question", "choices.text.0", "subject",
                                                                "choices.text", "second", "answerKey"}));
}

TEST(TaskForm, TheDescriptionIsATemplateToo) {
  const TaskForm form({.description = "About {subject}.\n\n"});
  EXPECT_EQ(form.description(parse_json_value(R"({"subject": "law"})", ""), "x:1"), "About law.\n\n");
}

}  // namespace
}  // namespace rocket
