#include "text/decontamination.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace rocket {
namespace {

using ::nlohmann::json;

const std::string kData = "tests/data/formats/";

TEST(DecontaminationKeyTest, IsPythonsLowerSplitJoin) {
  const json cases = json::parse(read_file(kData + "decontamination_keys.json"));
  int seen = 0;
  for (const json& one : cases) {
    Record record;
    record.instruction = one["instruction"];
    record.input = one["input"];
    EXPECT_EQ(decontamination_key(record), one["key"].get<std::string>()) << ++seen;
  }
}

TEST(DecontaminationKeyTest, FoldsSigmaToOneForm) {
  Record capital, small;
  capital.instruction = "\u039f\u0394\u039f\u03a3";
  small.instruction = "\u03bf\u03b4\u03bf\u03c3";
  EXPECT_EQ(decontamination_key(capital), decontamination_key(small));
}

TEST(DecontaminationKeyTest, SurvivesBytesThatAreNoText) {
  Record record;
  record.instruction = "A\xff\xc3";
  EXPECT_EQ(decontamination_key(record), "a\ufffd\ufffd");
}

Record question(const std::string& instruction, const std::string& input = "",
                const std::string& output = "") {
  Record record;
  record.instruction = instruction;
  record.input = input;
  record.output = output;
  return record;
}

TEST(DecontaminationTest, FindsTheNgramsThatPythonFinds) {
  for (const json& one : json::parse(read_file(kData + "decontamination_ngrams.json"))) {
    Decontamination exact, ngram(one["n"].get<std::int64_t>());
    for (const json& p : one["protected"]) {
      exact.protect(question(p["instruction"], p["input"], p["output"]));
      ngram.protect(question(p["instruction"], p["input"], p["output"]));
    }
    for (std::size_t i = 0; i < one["records"].size(); ++i) {
      const json& r = one["records"][i];
      SCOPED_TRACE(r.dump());
      const Record record = question(r["instruction"], r["input"], r["output"]);
      const int expected = one["verdicts"][i];
      EXPECT_EQ(static_cast<int>(ngram.overlap(record)), expected);
      EXPECT_EQ(exact.overlap(record), expected == 1 ? Overlap::equal : Overlap::none);
    }
  }
}

TEST(DecontaminationTest, LooksBehindASystemTurn) {
  Decontamination exact, ngram(8);
  for (Decontamination* rule : {&exact, &ngram}) rule->protect(question("What is the  capital", "of Peru?"));
  Record chat = question("Be kind.\n\nwhat is the capital of peru?");
  EXPECT_EQ(exact.overlap(chat), Overlap::none);
  chat.system_bytes = 10;
  EXPECT_EQ(exact.overlap(chat), Overlap::equal);
  chat.instruction = "Be kind.\n\nwhat is the capital of peru";
  EXPECT_EQ(exact.overlap(chat), Overlap::none);
  EXPECT_EQ(ngram.overlap(chat), Overlap::ngram);  // six words, compared whole
  chat.instruction += " today";
  EXPECT_EQ(ngram.overlap(chat), Overlap::none);
}

TEST(DecontaminationTest, LooksBehindEarlierTurns) {
  Decontamination exact, ngram(8);
  for (Decontamination* rule : {&exact, &ngram}) rule->protect(question("What is the  capital", "of Peru?"));
  const std::string context = "Be kind.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: ";
  Record chat = question(context + "what is the capital of peru?");
  chat.system_bytes = 10;
  EXPECT_EQ(exact.overlap(chat), Overlap::none);
  chat.context_bytes = context.size();
  EXPECT_EQ(exact.overlap(chat), Overlap::equal);
  chat.instruction = context + "what is the capital of peru";
  EXPECT_EQ(ngram.overlap(chat), Overlap::ngram);
}

TEST(DecontaminationTest, TakesAnyBytes) {
  Decontamination rule(1);
  rule.protect(
      question("a\xff"
               "b"));
  EXPECT_EQ(rule.overlap(question("\xc3(b", "x")), Overlap::ngram);
  EXPECT_EQ(rule.overlap(question("c", "\xff")), Overlap::none);
}

}  // namespace
}  // namespace rocket
