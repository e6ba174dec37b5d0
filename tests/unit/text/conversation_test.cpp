#include <nlohmann/json.hpp>

#include "formats/json_value.h"
#include "text/record.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::nlohmann::json;
using ::rocket::testing::expect_error;
using ::rocket::testing::Scratch;

class ConversationTest : public ::testing::Test {
 protected:
  std::filesystem::path save(const json& record) {
    rocket::testing::save_text(scratch_ / "x.jsonl", record.dump() + "\n");
    return scratch_ / "x.jsonl";
  }
  std::vector<Record> read_all(const json& record, Turns turns) {
    return read_records(save(record), {}, turns);
  }
  Record read(const json& record, const FieldNames& fields = {}, Turns turns = Turns::first) {
    const auto records = read_records(save(record), fields, turns);
    EXPECT_EQ(records.size(), 1u);
    return records.at(0);
  }
  void expect_bad(const json& record, std::initializer_list<std::string> parts,
                  const FieldNames& fields = {}) {
    SCOPED_TRACE(record.dump());
    const auto file = save(record);
    expect_error([&] { read_records(file, fields); }, ExitCode::data, {file.string() + ":1: "});
    expect_error([&] { read_records(file, fields); }, ExitCode::data, parts);
  }
  Scratch scratch_;
};

json turn(const char* role, const json& content) {
  return {{"role", role}, {"content", content}};
}
json said(const char* from, const json& value) {
  return {{"from", from}, {"value", value}};
}
json chat(std::initializer_list<json> turns) {
  return {{"messages", json(std::vector<json>(turns))}};
}

TEST_F(ConversationTest, TakesTheFirstQuestionAndItsAnswer) {
  const Record record =
      read(chat({turn("user", "q"), turn("assistant", "a"), turn("user", "q2"), turn("assistant", "a2")}));
  EXPECT_EQ(record.instruction, "q");
  EXPECT_EQ(record.input, "");
  EXPECT_EQ(record.output, "a");
  EXPECT_TRUE(record.has_output);
  EXPECT_EQ(record.system_bytes, 0u);
}

TEST_F(ConversationTest, HoldsWhatIsSaidInAllTurns) {
  EXPECT_EQ(read(chat({turn("system", "s"), turn("user", "q"), turn("assistant", "a"), turn("user", "q2"),
                       turn("assistant", "a2")}))
                .whole_chat,
            "s\nq\na\nq2\na2");
  EXPECT_EQ(read({{"conversations", {said("human", "q"), said("gpt", "a"), said("human", "q2")}}}).whole_chat,
            "q\na\nq2");
  json call = turn("assistant", nullptr);
  call["tool_calls"] = {{{"name", "add"}}};
  const json parts = {{{"type", "text"}, {"text", "one"}}, {{"type", "image"}, {"url", "x"}}};
  EXPECT_EQ(read(chat({turn("user", "q"), turn("assistant", "a"), turn("user", parts), call})).whole_chat,
            "q\na\none\n{\"type\":\"image\",\"url\":\"x\"}\n{\"name\":\"add\"}");
  EXPECT_EQ(read({{"instruction", "q"}, {"output", "a"}}).whole_chat, "");
}

TEST_F(ConversationTest, PutsTheSystemTurnInFront) {
  for (const char* role : {"system", "developer"}) {
    const Record record = read(chat({turn(role, "be kind"), turn("user", "q"), turn("assistant", "a")}));
    EXPECT_EQ(record.instruction, "be kind\n\nq");
    EXPECT_EQ(record.system_bytes, 9u);
  }
  const Record empty = read(chat({turn("system", ""), turn("user", "q"), turn("assistant", "a")}));
  EXPECT_EQ(empty.instruction, "q");
  EXPECT_EQ(empty.system_bytes, 0u);
}

TEST_F(ConversationTest, ReadsShareGptUnderItsNameOrAMapping) {
  const json turns = {said("system", "s"), said("human", "q"), said("gpt", "a")};
  EXPECT_EQ(read({{"conversations", turns}}).instruction, "s\n\nq");
  EXPECT_EQ(read({{"messages", turns}}).output, "a");
  EXPECT_EQ(read({{"data", {{"chat", turns}}}}, {{"messages", "data.chat"}}).output, "a");
}

TEST_F(ConversationTest, LeavesLaterTurnsAlone) {
  const Record record = read(chat({turn("user", "q"), turn("assistant", "a"), turn("tool", nullptr), 7}));
  EXPECT_EQ(record.output, "a");
}

TEST_F(ConversationTest, AChatWithoutAnAnswerHasNoOutput) {
  const Record record = read(chat({turn("user", "q")}));
  EXPECT_FALSE(record.has_output);
  expect_error([&] { require_output(record); }, ExitCode::data,
               {"x.jsonl:1: no 'output'", "no assistant turn"});
}

TEST_F(ConversationTest, AnOutputThatIsSetIsTheAssistantsTurn) {
  const json question = chat({turn("system", "s"), turn("user", "q")});
  const json empty = {{"data", {said("human", "q"), said("gpt", ""), 7}}};
  const FieldNames nested{{"messages", "data"}, {"output", "unused"}};
  const auto set = [&](const json& object, const FieldNames& fields) {
    JsonValue value = parse_json_value(object.dump(), "x");
    set_output(value, fields, "a");
    return json::parse(to_json(value));
  };
  EXPECT_EQ(set(question, {}), chat({turn("system", "s"), turn("user", "q"), turn("assistant", "a")}));
  EXPECT_EQ(set(empty, nested), json({{"data", {said("human", "q"), said("gpt", "a"), 7}}}));
  EXPECT_EQ(set({{"data", {said("human", "q")}}}, nested),
            json({{"data", {said("human", "q"), said("gpt", "a")}}}));
  EXPECT_EQ(set({{"instruction", "q"}}, {{"output", "o"}}), json({{"instruction", "q"}, {"o", "a"}}));
}

TEST_F(ConversationTest, KeepsTheOtherFieldsOfAShot) {
  json shot = chat({turn("user", "q"), turn("assistant", "a")});
  shot.update({{"answer", 7}, {"rationale", "r"}, {"tests", {"assert x"}}, {"instruction", nullptr}});
  const Record record = read(shot);
  EXPECT_EQ(record.answer, "7");
  EXPECT_EQ(record.target(), "r");
  EXPECT_EQ(record.tests, std::vector<std::string>{"assert x"});
}

TEST_F(ConversationTest, SaysWhichOfTwoIsRead) {
  json both = chat({turn("user", "q"), turn("assistant", "a")});
  both["instruction"] = "plain";
  both["output"] = "o";
  EXPECT_EQ(read(both).instruction, "plain");
  EXPECT_EQ(read(both, {{"messages", "messages"}}).instruction, "q");
  EXPECT_EQ(read({{"instruction", "plain"}}, {{"messages", "chat"}}).instruction, "plain");
  expect_bad(both, {"both 'instruction' and 'messages'", "map one"},
             {{"messages", "messages"}, {"instruction", "instruction"}});
  const json turns = {said("human", "q"), said("gpt", "a")};
  expect_bad({{"messages", turns}, {"conversations", turns}}, {"both 'messages' and 'conversations'"});
  EXPECT_EQ(read({{"messages", turns}, {"conversations", 1}}, {{"messages", "messages"}}).output, "a");
  expect_bad({{"messages", nullptr}, {"x", 1}}, {"no key 'instruction'", "no 'messages'", "'messages', 'x'"});
  expect_bad({{"q", "x"}}, {"no key 'question'", "no 'talk'"},
             {{"instruction", "question"}, {"messages", "talk"}});
}

const char* kDialogue = "User: q1\n\nAssistant: a1\n\nUser: q2";

json marked(const char* key, const json& value, const char* text = "draft") {
  json assistant = turn("assistant", text);
  assistant[key] = value;
  return assistant;
}

TEST_F(ConversationTest, ChoosesTheLastOrEveryAnswer) {
  const json talk = chat({turn("system", "s"), turn("user", "q1"), turn("assistant", "a1"),
                          turn("user", "q2"), turn("assistant", "a2"), turn("user", "q3")});
  const Record first = read(talk);
  EXPECT_EQ(first.instruction, "s\n\nq1");
  EXPECT_EQ(first.turns.not_chosen, 1);
  const Record last = read(talk, {}, Turns::last);
  EXPECT_EQ(last.instruction, "s\n\n" + std::string(kDialogue));
  EXPECT_EQ(last.system_bytes, 3u);
  EXPECT_EQ(last.instruction.substr(last.context_bytes), "q2");
  EXPECT_EQ(last.output, "a2");
  EXPECT_EQ(last.turns.not_chosen, 1);
  EXPECT_EQ(last.turns.unanswered, 1);
  const auto all = read_all(talk, Turns::all);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].instruction, "s\n\nq1");
  EXPECT_EQ(all[0].output, "a1");
  EXPECT_EQ(all[1].instruction, last.instruction);
  EXPECT_EQ(all[1].output, "a2");
  EXPECT_EQ(all[1].line, 1);
  EXPECT_EQ(all[0].turns.not_chosen + all[1].turns.not_chosen, 0);
  const Record question = read(talk, {}, Turns::last_question);
  EXPECT_EQ(question.instruction.substr(question.context_bytes), "q3");
  EXPECT_FALSE(question.has_output);
}

// As ms-swift (loss), axolotl (train, training) and OpenAI (weight) mean it.
TEST_F(ConversationTest, AMarkedTurnIsNeverAnOutput) {
  const std::pair<const char*, json> marks[] = {{"weight", 0},    {"weight", 0.0},     {"loss", false},
                                                {"train", false}, {"training", false}, {"loss", 0}};
  for (const auto& [key, no] : marks) {
    SCOPED_TRACE(key);
    const json draft = marked(key, no);
    const Record alone = read(chat({turn("user", "q"), draft}));
    EXPECT_EQ(alone.instruction, "q");
    EXPECT_FALSE(alone.has_output);
    expect_error([&] { require_output(alone); }, ExitCode::data, {"x.jsonl:1: no output", "marked"});
    const json talk =
        chat({turn("user", "q1"), marked(key, no, "a1"), turn("user", "q2"), turn("assistant", "a2")});
    for (const Turns turns : {Turns::first, Turns::last, Turns::all}) {
      const auto records = read_all(talk, turns);
      ASSERT_EQ(records.size(), 1u);
      EXPECT_EQ(records[0].instruction, kDialogue);
      EXPECT_EQ(records[0].output, "a2");
      EXPECT_EQ(records[0].turns.marked, 1);
    }
  }
  EXPECT_EQ(read(chat({turn("user", "q"), marked("weight", 1)})).output, "draft");
  EXPECT_EQ(read(chat({turn("user", "q"), marked("train", nullptr)})).output, "draft");
  EXPECT_FALSE(read(chat({turn("user", "q"), marked("tool_calls", {{{"name", "f"}}})})).has_output);
  expect_bad(chat({turn("user", "q"), marked("weight", 0.5)}),
             {"message 2: 'weight': expected true, false, 1 or 0"});
  expect_bad(chat({turn("user", "q"), marked("loss", "no")}), {"'loss': expected true"});
  expect_bad(chat({turn("user", "q"), marked("train_detail", {{{"train", false}}})}), {"'train_detail'"});
}

TEST_F(ConversationTest, JoinsPartsOfText) {
  const auto part = [](const char* text) {
    return json{{"type", "text"}, {"text", text}, {"image_url", nullptr}};
  };
  const Record record = read(
      chat({turn("user", {part("Which "), part("metal?")}), turn("assistant", json::array({part("a")}))}));
  EXPECT_EQ(record.instruction, "Which metal?");
  EXPECT_EQ(record.output, "a");
  expect_bad(chat({turn("user", {part("a"), {{"type", "image_url"}, {"image_url", "x"}}})}),
             {"a part of type 'image_url'"});
  expect_bad(chat({turn("user", json::array({"a"}))}), {"'content'", "parts"});
  expect_bad(chat({turn("user", json::array())}), {"'content'", "got a list"});
}

TEST_F(ConversationTest, ReadsTheOtherNameWhereOneIsNull) {
  const json turns = {turn("user", "q"), turn("assistant", "a")};
  EXPECT_EQ(read({{"messages", turns}, {"conversations", nullptr}}).output, "a");
  EXPECT_EQ(read({{"messages", nullptr}, {"conversations", turns}}).output, "a");
}

TEST_F(ConversationTest, PutsASystemColumnInFront) {
  const json turns = {said("human", "q"), said("gpt", "a")};
  for (const char* name : {"system", "system_prompt"}) {
    EXPECT_EQ(read({{name, "s"}, {"conversations", turns}}).instruction, "s\n\nq");
    EXPECT_EQ(read({{name, ""}, {"conversations", turns}}).instruction, "q");
    EXPECT_EQ(read({{name, nullptr}, {"conversations", turns}}).instruction, "q");
  }
  const json both = {said("system", "s"), said("human", "q"), said("gpt", "a")};
  EXPECT_EQ(read({{"system", "s"}, {"conversations", both}}).instruction, "s\n\nq");
  expect_bad({{"system", "t"}, {"conversations", both}}, {"key 'system'", "another system text", "map one"});
  EXPECT_EQ(read({{"system", "t"}, {"conversations", both}}, {{"system", ""}}).instruction, "s\n\nq");
}

TEST_F(ConversationTest, RefusesTurnsOutOfOrderWhereTheyAreRead) {
  const json user = turn("user", "q"), assistant = turn("assistant", "a"), system = turn("system", "s");
  const auto file = save(chat({user, assistant, assistant}));
  expect_error([&] { read_records(file, {}, Turns::last); }, ExitCode::data, {"message 3", "behind another"});
  save(chat({user, assistant, system, user, assistant}));
  expect_error([&] { read_records(file, {}, Turns::all); }, ExitCode::data,
               {"message 3", "a system turn behind"});
  save(chat({user, assistant, turn("tool", "x")}));
  expect_error([&] { read_records(file, {}, Turns::last); }, ExitCode::data, {"message 3: role 'tool'"});
}

TEST_F(ConversationTest, AnOutputIsSetWhereTheTurnIsRead) {
  const auto set = [](const json& object, Turns turns) {
    JsonValue value = parse_json_value(object.dump(), "x");
    set_output(value, {}, "new", turns);
    return json::parse(to_json(value));
  };
  const json q = turn("user", "q"), a = turn("assistant", "a"), fresh = turn("assistant", "new");
  EXPECT_EQ(set(chat({q, a, q, a}), Turns::last_question), chat({q, a, q, fresh}));
  EXPECT_EQ(set(chat({q, a, q}), Turns::last_question), chat({q, a, q, fresh}));
  EXPECT_EQ(set(chat({q, marked("loss", false)}), Turns::first),
            chat({q, {{"role", "assistant"}, {"content", "new"}, {"loss", nullptr}}}));
}

TEST_F(ConversationTest, RefusesOddChats) {
  const json user = turn("user", "q"), assistant = turn("assistant", "a"), system = turn("system", "s");
  expect_bad({{"messages", "[]"}}, {"key 'messages': expected a list of messages, got a string"});
  expect_bad({{"messages", json::array()}}, {"key 'messages': no user turn"});
  expect_bad(chat({system}), {"no user turn"});
  expect_bad(chat({assistant, user}), {"message 1: an assistant turn before any user turn"});
  expect_bad(chat({system, system, user, assistant}), {"message 2: a second system turn"});
  expect_bad(chat({user, user, assistant}), {"message 2: expected the assistant's answer"});
  expect_bad(chat({user, system, assistant}), {"message 2: expected the assistant's answer"});
  expect_bad(chat({turn("tool", "x"), user}), {"message 1: role 'tool': expected system, user or assistant"});
  expect_bad(chat({user, turn("assistant", nullptr)}), {"message 2: 'content': expected a string, got null"});
  expect_bad(chat({turn("user", json::array({{{"type", "image"}}})), assistant}),
             {"'content'", "a part of type 'image'"});
  expect_bad(chat({{{"role", "user"}}}), {"message 1: no 'content'"});
  expect_bad(chat({{{"content", "q"}}}), {"message 1: no 'role'"});
  expect_bad(chat({{{"role", 1}, {"content", "q"}}}), {"'role': expected a string, got a number"});
  expect_bad(chat({{{"from", "human"}, {"content", "q"}}}), {"message 1: no 'value'"});
  expect_bad(chat({"q"}), {"message 1: expected an object, got a string"});
}

}  // namespace
}  // namespace rocket
