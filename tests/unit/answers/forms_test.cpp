// Texts of tests/data/answers: forms.json was read by people, cases.json restates public reports,
// numbers.json was made from numbers that were known before (tests/parity/make_answer_reference.py).
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "answers/reading.h"
#include "fuzz/answers_targets.h"
#include "fuzz/mutate.h"

namespace rocket {
namespace {

using nlohmann::json;

json rows_of(const std::string& name) {
  std::ifstream file("tests/data/answers/" + name);
  return json::parse(file);
}

json found_in(const std::string& kind, const std::string& text) {
  static const BooleanReader boolean;
  const Reading reading = kind == "number"   ? read_number(text)
                          : kind == "choice" ? read_choice(text)
                                             : boolean.read(text);
  return reading.found ? json(*reading.found) : json();
}

TEST(AnswerForms, AreReadAsPeopleReadThem) {
  std::map<std::string, int> seen;
  for (const json& row : rows_of("forms.json")) {
    EXPECT_EQ(found_in(row[0], row[1]), row[2]) << row.dump();
    ++seen[row[0]];
  }
  EXPECT_GT(seen["number"], 150);
  EXPECT_GT(seen["choice"], 130);
  EXPECT_GT(seen["boolean"], 110);
}

TEST(AnswerForms, NumbersHaveTheValueThatTheyWereMadeFrom) {
  const json rows = rows_of("numbers.json");
  ASSERT_EQ(rows.size(), 2000u);
  for (const json& row : rows) EXPECT_EQ(found_in("number", row[0]), row[1]) << row.dump();
}

TEST(AnswerForms, WordsOfATaskAreAdded) {
  const BooleanReader reader({{"jep", "Ouais"}, {"n\u00f6"}});
  EXPECT_EQ(reader.read("Jep.").found, "yes");
  EXPECT_EQ(reader.read("The answer is ouais").found, "yes");
  EXPECT_EQ(reader.read("N\u00d6!").found, "no");
  EXPECT_EQ(reader.read("no").found, "no");
  EXPECT_EQ(BooleanReader().read("Jep.").found, std::nullopt);
  EXPECT_EQ(BooleanReader({{"false"}, {}}).read("false").found, "yes") << "a task's words go before ours";
  EXPECT_EQ(BooleanReader({{"+"}, {"-"}}).read("+").found, "yes") << "no pattern";
}

TEST(AnswerForms, NumbersOfAnyLengthStayExact) {
  const std::string digits(5000, '7');
  EXPECT_EQ(read_number("0" + digits + ".250").found, digits + ".25");
  EXPECT_EQ(read_number("1e5000").found, "1" + std::string(5000, '0'));
  EXPECT_EQ(read_number("1e5001").found, std::nullopt);
  EXPECT_EQ(read_number("1e99999999999999999999").found, std::nullopt);
}

TEST(AnswerForms, EndlessRepetitionTakesLinearTime) {
  const std::vector<std::string> words = {
      "-",       "answer ", "\\boxed{", "1,", "1 234 ", "A or ",   "yes or ", "```\n",   "the answer to ",
      "#### 1 ", "not ",    "1 = ",     "(A", "so ",    "<think>", "\n",      "\\frac{", "answer is not 1 "};
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& word : words) {
    std::string text;
    while (text.size() < 60'000) text += word;
    for (const char* kind : {"number", "choice", "boolean"}) found_in(kind, text);
    read_program(text);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(AnswerForms, AnythingIsRead) {
  std::vector<std::string> seeds;
  for (const json& row : rows_of("forms.json")) seeds.push_back(row[1]);
  for (const json& row : rows_of("programs.json")) seeds.push_back(row[1]);
  fuzz::Mutator mutator(seeds);
  for (int i = 0; i < 4000; ++i) fuzz::answers(mutator.next());
}

}  // namespace
}  // namespace rocket
