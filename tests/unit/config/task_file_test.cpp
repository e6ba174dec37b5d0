// task.use: the settings of the section `task` from a file of their own.
#include <gmock/gmock.h>

#include "base/error.h"
#include "base/files.h"
#include "config/run_config.h"
#include "scratch.h"

namespace rocket {
namespace {

class TaskFile : public Scratch {
 protected:
  fs::path config(const std::string& task) { return write("c.yaml", "run: r\ntask:\n" + task); }
  fs::path task_file(const std::string& text) { return write("task.yaml", text); }
  std::string use() { return "  use: " + (folder_ / "task.yaml").string() + "\n"; }

  /// All that is wrong, without the folder.
  std::string refusal(const std::string& file, const std::string& task = "") {
    task_file(file);
    try {
      load_config(config(use() + task), {});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config);
      std::string message = e.what();
      const std::string folder = folder_.string() + "/";
      for (std::size_t at; (at = message.find(folder)) != std::string::npos;)
        message.erase(at, folder.size());
      return message;
    }
    return "accepted";
  }
};

const std::string kGood =
    "prompt: \"{question}\"\nchoices: choices.text\nlabels: choices.label\ngold: key\nanswer: "
    "multiple_choice\n";

TEST_F(TaskFile, GivesTheSettingsThatTheConfigurationDoesNotSay) {
  task_file(kGood + "k: 7\n");
  const RunConfig c = load_config(config("  gold: other\n" + use() + "  delimiter: \"\"\n"), {"task.k=9"});
  EXPECT_EQ(c.task.prompt, "{question}");
  EXPECT_EQ(c.task.choices.one, "choices.text");
  EXPECT_EQ(c.task.gold, "other") << "whichever stands first";
  EXPECT_EQ(c.task.delimiter, "");
  EXPECT_EQ(c.task.k, 9);
  EXPECT_EQ(c.location("task.labels"), (folder_ / "task.yaml").string() + ":3");
  EXPECT_EQ(c.location("task.gold"), (folder_ / "c.yaml").string() + ":3");
}

TEST_F(TaskFile, ItsPlaceInTheResolvedFormIsTakenByItsSettings) {
  task_file(kGood);
  const RunConfig c = load_config(config(use()), {});
  EXPECT_EQ(c.task.use, "");
  const RunConfig again = load_config(write("again.yaml", to_yaml(c)), {});
  EXPECT_EQ(to_yaml(again), to_yaml(c));
  EXPECT_EQ(again.task.choices.one, "choices.text");
}

TEST_F(TaskFile, AnOverrideMayNameIt) {
  task_file(kGood);
  write("other.yaml", "answer: code\n");
  const RunConfig c = load_config(config(use()), {"task.use=" + (folder_ / "other.yaml").string()});
  EXPECT_EQ(c.task.answer, "code");
  EXPECT_EQ(c.task.gold, std::nullopt) << "the other file is not read";
}

TEST_F(TaskFile, ThatIsNoTaskFileIsRefused) {
  EXPECT_EQ(refusal("use: x.yaml\n"), "task.yaml:1: task.use: the file of a task cannot use another one");
  EXPECT_EQ(refusal("task: {answer: code}\n"),
            "task.yaml:1: task: the file of a task holds the settings of this section alone");
  EXPECT_THAT(refusal("[1]\n"), testing::HasSubstr("task.yaml:1: expected a mapping"));
  EXPECT_THAT(refusal("a: [\n"), testing::HasSubstr("task.yaml:"));
  fs::remove(folder_ / "task.yaml");
  try {
    load_config(config(use()), {});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::AllOf(testing::HasSubstr("c.yaml:3: task.use: "),
                                         testing::HasSubstr("no such file")));
  }
}

/// Each key wrong once: file, line and what was expected.
TEST_F(TaskFile, EveryWrongKeySaysWhereAndWhatWasExpected) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"name: [a]", "task.name: expected text, found a list"},
      {"prompt: 3", "task.prompt: expected text, found the number 3"},
      {"description: {a: b}", "task.description: expected text, found a mapping"},
      {"target: true", "task.target: expected text, found the boolean true"},
      {"choices: {a: b}", "task.choices: expected text, found a mapping"},
      {"choices: [a, 1]", "task.choices[1]: expected text, found the number 1"},
      {"choices: [a, a]", "task.choices: 'a' stands in the list twice"},
      {"labels: 1", "task.labels: expected text, found the number 1"},
      {"gold: []", "task.gold: expected text, found a list"},
      {"delimiter: null", "task.delimiter: expected text, found nothing"},
      {"fewshot: many", "task.fewshot: expected a whole number, found the text 'many'"},
      {"fewshot: -1", "task.fewshot: -1 is out of range: 0 or more"},
      {"fewshot_draw: last",
       "task.fewshot_draw: expected first or a seed, a whole number, found the text 'last'"},
      {"answer: multiple_choise",
       "task.answer: unknown value 'multiple_choise'; did you mean 'multiple_choice'?"},
      {"filter: a", "task.filter: expected a mapping {pattern, group, take}, found 'a'"},
      {"filter: {take: last}", "task.filter: must hold a pattern"},
      {"filter: {pattern: a, take: all}", "task.filter.take: unknown value 'all'"},
      {"filter: {pattern: a, group: -1}", "task.filter.group: -1 is out of range: 0 or more"},
      {"filter: {pattern: a, groop: 1}", "task.filter.groop: unknown key; did you mean 'task.filter.group'?"},
      {"gold_filter: {pattern: 1}", "task.gold_filter.pattern: expected text, found the number 1"},
      {"stop: END", "task.stop: expected a list such as [a, b], found 'END'"},
      {"stop: [\"\"]", "task.stop: a member of the list is empty"},
      {"ignore_patterns: a", "task.ignore_patterns: expected a list"},
      {"ignore_case: 1", "task.ignore_case: expected true or false"},
      {"fields: [a]", "task.fields: expected a mapping"},
      {"promt: a", "task.promt: unknown key; did you mean 'task.prompt'?"},
  };
  for (const auto& [line, expected] : wrong) {
    EXPECT_THAT(refusal("# a comment\n" + line + "\n"), testing::HasSubstr("task.yaml:2: " + expected))
        << line;
  }
}

TEST_F(TaskFile, WhatOneKeyNeedsOfAnotherIsSaid) {
  EXPECT_EQ(refusal("answer: multiple_choice\n"),
            "task.yaml:1: task.choices: not set, and multiple_choice needs it");
  EXPECT_EQ(refusal("choices: c\n"), "task.yaml:1: task.gold: not set, and task.choices needs it");
  EXPECT_EQ(refusal("labels: l\n"), "task.yaml:1: task.choices: not set, and task.labels needs it");
  EXPECT_EQ(refusal(kGood + "fewshot: 5\n", "  k: 3\n"),
            "task.yaml:6: task.fewshot: 5 examples, but only 3 shots are used (task.k)");
  EXPECT_EQ(
      refusal(kGood + "stop: [a]\nfilter: {pattern: a}\npattern: (a)\ngold_filter: {pattern: a}\n"),
      "task.yaml:8: task.pattern: has no effect with task.answer multiple_choice: it is for answers in "
      "generations\n"
      "task.yaml:7: task.filter: has no effect with task.answer multiple_choice: it is for answers in "
      "generations\n"
      "task.yaml:9: task.gold_filter: has no effect with task.answer multiple_choice: it is for answers in "
      "generations\n"
      "task.yaml:6: task.stop: has no effect with task.answer multiple_choice: it is for answers in "
      "generations");
  EXPECT_EQ(refusal("answer: number\nignore_patterns: [a]\n"),
            "task.yaml:2: task.ignore_patterns: has no effect with task.answer number: it is for exact");
}

TEST_F(TaskFile, AFilterAndADrawLoadAsTheyArePrinted) {
  const RunConfig c = load_config(
      config("  answer: exact\n  filter: {pattern: \"(a)|(b)\", group: 2, take: last}\n  gold_filter: "
             "{pattern: '\\$'}\n"
             "  fewshot: 2\n  fewshot_draw: 11\n  stop: [\"\\n\\n\", x]\n  choices: [=no, b]\n  gold: g\n"),
      {});
  EXPECT_EQ(c.task.filter.pattern, "(a)|(b)");
  EXPECT_EQ(c.task.filter.group, 2);
  EXPECT_EQ(c.task.filter.take, "last");
  EXPECT_EQ(c.task.gold_filter.group, std::nullopt);
  EXPECT_EQ(c.task.fewshot_draw.seed, 11u);
  EXPECT_EQ(to_yaml(load_config(write("again.yaml", to_yaml(c)), {})), to_yaml(c));
}

}  // namespace
}  // namespace rocket
