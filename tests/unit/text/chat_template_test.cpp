// Where a chat template is found, what it is given, and how records become turns.
#include "text/chat_template.h"

#include "base/files.h"
#include "fuzz/mutate.h"
#include "fuzz/text_targets.h"
#include "text/chat_prompt.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using nlohmann::json;
using testing::expect_error;
using testing::Scratch;

class ChatTemplateTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((scratch_ / name).parent_path());
    write_file(scratch_ / name, text);
  }
  void settings(const json& value) const { write("tokenizer_config.json", value.dump()); }
  ChatTemplate read(ChatOptions options = {}) const {
    return ChatTemplate(scratch_.folder(), std::move(options));
  }
  std::string prompt(ChatOptions options = {}) const {
    return read(std::move(options)).prompt({{Role::user, "q"}});
  }
  void expect_bad(std::initializer_list<std::string> parts) const {
    expect_error([&] { prompt(); }, ExitCode::data, parts);
  }

  Scratch scratch_;
};

TEST_F(ChatTemplateTest, TheFileGoesBeforeTheSettings) {
  settings({{"chat_template", "settings"}});
  EXPECT_EQ(prompt(), "settings");
  write("chat_template.jinja", "file");
  EXPECT_EQ(prompt(), "file");
  EXPECT_EQ(read().file(), (scratch_ / "chat_template.jinja").string());
}

TEST_F(ChatTemplateTest, OfNamedOnesTheDefaultIsTaken) {
  settings({{"chat_template",
             {{{"name", "tool_use"}, {"template", "t"}}, {{"name", "default"}, {"template", "d"}}}}});
  EXPECT_EQ(prompt(), "d");
  const ChatTemplate named = read();
  ASSERT_EQ(named.others().size(), 1U);
  EXPECT_EQ(named.others().begin()->second.file,
            (scratch_ / "tokenizer_config.json: chat_template 'tool_use'").string());
  EXPECT_EQ(named.render({{"tools", {{{"name", "f"}}}}}), "t");  // as transformers
  EXPECT_EQ(named.render({{"tools", nullptr}}), "d");
  settings(
      {{"chat_template", {{{"name", "rag"}, {"template", "r"}}, {{"name", "tool_use"}, {"template", "t"}}}}});
  expect_bad({"none is called 'default': rag, tool_use"});
  write("additional_chat_templates/rag.jinja", "r");
  expect_bad({"none is called 'default': rag"});
  write("chat_template.jinja", "own");
  EXPECT_EQ(prompt(), "own");
  EXPECT_EQ(read().others().size(), 1U);
  EXPECT_EQ(read().render({{"tools", {1}}}), "own");
  write("additional_chat_templates/tool_use.jinja", "{{ tools | nope }}");
  EXPECT_EQ(prompt(), "own");
  expect_error(
      [&] {
        read().render({{"tools", {1}}});
      },
      ExitCode::data, {"additional_chat_templates/tool_use.jinja:1:", "the filter 'nope' is not known"});
}

TEST_F(ChatTemplateTest, WhatIsNoTemplateIsRefused) {
  expect_bad({"no chat template", "chat_template.jinja", "prompt.template: chatml"});
  settings({{"chat_template", 7}});
  expect_bad({"tokenizer_config.json: chat_template: expected a text"});
  settings({{"chat_template", {{{"name", "default"}}}}});
  expect_bad({"tokenizer_config.json: chat_template: expected a text"});
  settings({{"chat_template", "a\n{% nope %}"}});
  expect_bad({"tokenizer_config.json: chat_template:2:4: the tag 'nope' is not known"});
}

TEST_F(ChatTemplateTest, ReadsTheSpecialTokensAndTheTurns) {
  settings({{"bos_token", {{"content", "<b>"}}}, {"eos_token", "<e>"}, {"pad_token", nullptr}});
  write("chat_template.jinja",
        "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}"
        "{{ pad_token is defined }}{{ tools is none }}{% if add_generation_prompt %}assistant:{% endif %}");
  const std::vector<Turn> turns = {
      {Role::system, "s"}, {Role::user, "u"}, {Role::assistant, "a"}, {Role::user, "v"}};
  EXPECT_EQ(read().prompt(turns), "<b>system:s<e>user:u<e>assistant:a<e>user:v<e>FalseTrueassistant:");
  EXPECT_EQ(read().whole(turns), "<b>system:s<e>user:u<e>assistant:a<e>user:v<e>FalseTrue");
  EXPECT_EQ(read({.system = "own"}).prompt(turns), read().prompt(turns));
  EXPECT_EQ(read({.system = "own"}).whole({{Role::user, "u"}}), "<b>system:own<e>user:u<e>FalseTrue");
  EXPECT_EQ(read().ending(), "<e>FalseTrue");
}

TEST(ChatTemplates, OfMutatedSettingsAreRefusedOrFound) {
  fuzz::Mutator mutator(
      {R"({"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}", "eos_token": "</s>"})",
       R"({"chat_template": [{"name": "default", "template": "a"}, {"name": "rag", "template": "{{ b }}"}],
           "bos_token": {"content": "<s>"}, "pad_token": null})"});
  for (int i = 0; i < 10'000; ++i) {
    const std::string bytes = mutator.next();
    ASSERT_NO_THROW(fuzz::tokenizer_config(bytes)) << "round " << i;
  }
}

TEST_F(ChatTemplateTest, TheDateIsTheOneThatIsSet) {
  write("chat_template.jinja", "{{ strftime_now('%d %b %Y') }}");
  expect_bad({"chat_template.jinja:1:16: ", "the template writes the date"});
  std::tm day{};
  ::strptime("2024-07-26", "%Y-%m-%d", &day);
  EXPECT_EQ(prompt({.now = day}), "26 Jul 2024");
}

Record chat_record() {
  Record record;
  record.instruction = "You are.\n\nUser: a\n\nAssistant: b\n\nUser: question";
  record.system_bytes = 10;
  record.context_bytes = record.instruction.size() - 8;
  record.system = "You are.";
  record.before = {{Role::user, "a"}, {Role::assistant, "b"}};
  record.output = "answer";
  return record;
}

std::string shown(const std::vector<Turn>& turns) {
  std::string text;
  for (const Turn& turn : turns) text += fmt::format("{}:{}|", static_cast<int>(turn.role), turn.text);
  return text;
}

TEST(ChatPromptTest, ARecordIsItsTurns) {
  Record record = chat_record();
  EXPECT_EQ(shown(turns_to_answer(record)), "0:You are.|1:a|2:b|1:question|");
  EXPECT_EQ(answered(record), "answer");
  record.input = "with this";
  record.system.clear();
  EXPECT_EQ(shown(turns_to_answer(record)), "1:a|2:b|1:question\nwith this|");
  record.prompt = "the task's own";
  EXPECT_EQ(asked(record), "the task's own");
  record.rationale = "long";
  EXPECT_EQ(answered(record), "long");
}

TEST(ChatPromptTest, AnAnswerHasNoDelimiter) {
  Record record = chat_record();
  record.delimiter = " ";
  record.behind_delimiter = true;
  EXPECT_EQ(answered(record), "answer");
  record.choices = {"no", "yes"};
  record.right_choice = 1;
  EXPECT_EQ(answered(record), "yes");
}

}  // namespace
}  // namespace rocket
