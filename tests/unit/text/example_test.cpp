// Against offsets of the `tokenizers` library: tests/parity/make_tokenizer_reference.py.
#include "text/example.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "text/chat_template.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using nlohmann::json;

Record record_of(const std::string& prompt, const std::string& target) {
  Record record;
  record.instruction = prompt;
  record.output = target;
  return record;
}

const PromptTemplate kBare{"{instruction}{input}", "{instruction}"};

TEST(Example, SplitsAtTheBoundaryAsTheOffsetsOfTheLibrarySay) {
  std::ifstream file("tests/data/tokenizers/examples.json");
  const json expected = json::parse(file);
  ASSERT_GT(expected.size(), 60u);
  for (const json& e : expected) {
    SCOPED_TRACE(e.dump());
    const std::string name = e["tokenizer"];
    const auto tokenizer =
        load_tokenizer(name == "lab_base" ? "tests/lab/base" : "tests/data/tokenizers/" + name);
    const ExampleMaker maker(*tokenizer, kBare, e["eos"].get<TokenId>());
    const Record record = record_of(e["prompt"], e["target"]);
    const Example example = maker.example(record);
    EXPECT_EQ(example.ids, e["ids"].get<std::vector<TokenId>>());
    EXPECT_EQ(example.target_tokens(), e["targets"].get<std::int64_t>());
    EXPECT_EQ(maker.prompt(record), e["for_generation"].get<std::vector<TokenId>>());
  }
}

class LabExample : public ::testing::Test {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = load_tokenizer("tests/lab/base");
  const TokenId bos_ = *tokenizer_->bos(), eos_ = *tokenizer_->eos();

  Example example(const std::string& prompt, const std::string& target) const {
    return ExampleMaker(*tokenizer_, kBare, eos_).example(record_of(prompt, target));
  }
};

TEST_F(LabExample, EndsInExactlyOneEos) {
  for (const char* target : {"", "x", "x</s>", "x</s></s>", "</s>", "</s></s>"}) {
    const Example made = example("a", target);
    EXPECT_EQ(made.ids.back(), eos_) << target;
    EXPECT_NE(made.ids[made.ids.size() - 2], eos_) << target;
    EXPECT_EQ(std::ranges::count(made.ids, eos_), 1) << target;
  }
}

TEST_F(LabExample, AnEosOfThePromptIsNoTarget) {
  const Example made = example("a</s>", "");
  EXPECT_EQ(made.target_tokens(), 1);
  EXPECT_EQ(std::ranges::count(made.ids, eos_), 2);
}

TEST_F(LabExample, AnEosInsideTheTargetStays) {
  const Example made = example("a", "b</s>c");
  EXPECT_EQ(std::ranges::count(made.ids, eos_), 2);
  EXPECT_EQ(made.target_tokens(), 4);
}

TEST_F(LabExample, AnEmptyTargetIsTheEosAlone) {
  EXPECT_EQ(example("abc", "").target_tokens(), 1);
}

TEST_F(LabExample, ABosThatIsWrittenIsNotDoubled) {
  EXPECT_EQ(example("<s>a", "b").ids, example("a", "b").ids);
  EXPECT_EQ(std::ranges::count(example("<s><s>a", "b").ids, bos_), 2);
  EXPECT_EQ(example("", "").ids, (std::vector<TokenId>{bos_, eos_}));
}

TEST_F(LabExample, TheRationaleIsTheTarget) {
  Record record = record_of("a", "short");
  record.rationale = "the long way";
  EXPECT_EQ(ExampleMaker(*tokenizer_, kBare, eos_).example(record).ids, example("a", "the long way").ids);
}

TEST_F(LabExample, ATokenAcrossTheBoundaryIsATarget) {
  // "er" is one token of this vocabulary.
  ASSERT_TRUE(tokenizer_->id_of("er"));
  const Example made = example("e", "r");
  EXPECT_EQ(made.ids, (std::vector<TokenId>{bos_, *tokenizer_->id_of("er"), eos_}));
  EXPECT_EQ(made.target_begin, 1);
}

TEST_F(LabExample, TheTemplatesPartsAreOneTokenEach) {
  const ExampleMaker maker(*tokenizer_, named_template("alpaca"), eos_);
  const auto ids = maker.prompt(record_of("What is the job of Zekor?", ""));
  EXPECT_EQ(ids[1], 1597);  // the last four of the vocabulary
  EXPECT_EQ(ids.back(), 1599);
}

/// The lab's tokenizer, which puts <s> in front of a text, with a chat template.
class ChatExample : public LabExample {
 protected:
  ExampleMaker maker(const std::string& source) const {
    write_file(scratch_ / "chat_template.jinja", source);
    write_file(scratch_ / "tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>"})");
    return ExampleMaker(
        *tokenizer_, chat_template(std::make_shared<ChatTemplate>(scratch_.folder(), ChatOptions())), eos_);
  }
  std::vector<TokenId> ids(const std::string& text) const {
    std::vector<TokenId> found;
    for (const Token& token : tokenizer_->encode(text)) found.push_back(token.id);
    return found;
  }
  static Record record() {
    Record made = record_of("Which job?", " baker\n");
    made.file = "f.jsonl";
    made.line = 3;
    return made;
  }

  testing::Scratch scratch_;
  const std::string turns_ =
      "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}Q {{ m.content }} A{% else %} "
      "{{ m.content | trim }} {{ eos_token }}\n{% endif %}{% endfor %}";
};

TEST_F(ChatExample, ThePromptHasNoSpecialTwice) {
  EXPECT_EQ(maker(turns_).prompt(record()), ids("<s>Q Which job? A"));
  EXPECT_EQ(maker("Q {{ messages[0].content }}").prompt(record()),
            ids("Q Which job?"));  // as apply_chat_template
}

TEST_F(ChatExample, TheTargetIsWhatTheTemplateWritesOfTheAnswer) {
  const ExampleMaker chats = maker(turns_);
  const Example example = chats.example(record());
  EXPECT_EQ(example.ids, ids("<s>Q Which job? A baker </s>\n"));
  EXPECT_EQ(example.target_begin, static_cast<std::int64_t>(ids("<s>Q Which job? A").size()));
  EXPECT_EQ(chats.end_of_turn(), eos_);
}

TEST_F(ChatExample, AnEndWithoutASpecialTokenGetsTheEndOfSequence) {
  const ExampleMaker chats = maker("{% for m in messages %}{{ m.content }}\n{% endfor %}");
  EXPECT_FALSE(chats.end_of_turn());
  std::vector<TokenId> expected = ids("Which job?\n baker\n\n");
  expected.push_back(eos_);
  EXPECT_EQ(chats.example(record()).ids, expected);
}

TEST_F(ChatExample, APromptThatNoAnswerFollowsIsRefused) {
  const ExampleMaker chats =
      maker("{{ messages[0].content }}{% if add_generation_prompt %}<think>{% else %} baker</s>{% endif %}");
  chats.prompt(record());
  testing::expect_error([&] { chats.example(record()); }, ExitCode::data,
                        {"f.jsonl:3: ", "chat_template.jinja", "does not begin with the prompt"});
  const ExampleMaker silent = maker("{{ messages[0].content }}");
  testing::expect_error([&] { silent.example(record()); }, ExitCode::data,
                        {"f.jsonl:3: ", "writes no answer"});
}

TEST(Example, AChoiceStandsBehindTheDelimiter) {
  const auto tokenizer = load_tokenizer("tests/lab/base");
  const ExampleMaker maker(*tokenizer, kBare, *tokenizer->eos());
  Record asked = record_of("Which job?", "");
  asked.choices = {"baker", "smith"};
  asked.delimiter = "\n- ";
  const ChoiceTokens tokens = maker.choices(asked);
  const std::vector<TokenId> prompt = maker.prompt(asked),
                             whole = maker.prompt(record_of("Which job?\n- smith", ""));
  EXPECT_EQ(tokens.prompt, prompt);
  std::vector<TokenId> found = tokens.prompt;
  found.insert(found.end(), tokens.continuations[1].begin(), tokens.continuations[1].end());
  EXPECT_EQ(found, whole);
}

TEST_F(ChatExample, AChoiceFollowsThePromptWithoutDelimiter) {
  Record asked = record();
  asked.delimiter = " ";
  asked.choices = {"baker", "smith"};
  const ChoiceTokens tokens = maker(turns_).choices(asked);
  EXPECT_EQ(tokens.prompt, ids("<s>Q Which job? A"));
  const std::vector<TokenId> whole = ids("<s>Q Which job? Asmith");
  EXPECT_EQ(
      tokens.continuations[1],
      std::vector<TokenId>(whole.begin() + static_cast<std::ptrdiff_t>(tokens.prompt.size()), whole.end()));
}

}  // namespace
}  // namespace rocket
