#include "text/corpus.h"

#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::rocket::testing::expect_error;
using ::rocket::testing::Scratch;
using ::testing::HasSubstr;

/// One of every kind of broken line, with what is said of it.
const std::vector<std::pair<std::string, std::string>> kBroken = {
    {"{", "no valid JSON"},
    {"not JSON at all", "no valid JSON at byte 2"},
    {R"({"instruction":"a","output":"b"} x)", "no valid JSON"},
    {"{\"instruction\":\"\xff\",\"output\":\"b\"}", "no UTF-8"},
    {"{\"instruction\":\"caf\xe9\",\"output\":\"b\"}", "no UTF-8"},
    {"\xef\xbb\xbf{\"instruction\":\"a\",\"output\":\"b\"}", "no valid JSON at byte 1"},
    {R"({"instruction":"a","output":NaN})", "NaN is no value of JSON"},
    {R"({"instruction":"a","instruction":"b","output":"c"})", "stands twice"},
    {std::string(200, '[') + std::string(200, ']'), "levels"},
    {"[1]", "expected an object, got a list"},
    {"7", "expected an object, got a number"},
    {"null", "expected an object, got null"},
    {"{}", "no key 'instruction'"},
    {R"({"output":"b"})", "no key 'instruction'"},
    {R"({"instruction":true,"output":"b"})", "expected a string, got a boolean"},
    {R"({"instruction":"a","input":[],"output":"b"})", "'input': expected a string, got a list"},
    {R"({"instruction":"a"})", "no 'output'"},
    {R"({"instruction":"a","output":null})", "no 'output'"},
    {R"({"instruction":"a","output":{}})", "expected a string, got an object"},
    {R"({"messages":[{"role":"user","content":"a"}]})", "no 'output'"},
    {R"({"messages":[{"role":"robot","content":"a"}]})", "role 'robot'"},
};

std::string good(int i) {
  return R"({"instruction":"q)" + std::to_string(i) + R"(","output":"a"})";
}

class CorpusTest : public ::testing::Test {
 protected:
  std::filesystem::path save(const std::string& text, const std::string& name) {
    rocket::testing::save_text(scratch_ / name, text);
    return scratch_ / name;
  }
  CorpusReader skipping(std::vector<std::filesystem::path> files) {
    return {
        std::move(files), {}, OnError::skip, [this](const SkippedRecord& one) { skipped_.push_back(one); }};
  }
  static std::vector<std::string> instructions(CorpusReader& corpus) {
    std::vector<std::string> all;
    for (Record record; corpus.next(record);) all.push_back(record.instruction);
    return all;
  }
  Scratch scratch_;
  std::vector<SkippedRecord> skipped_;
};

TEST_F(CorpusTest, StopsAtEveryKindOfBrokenLineWithItsPlace) {
  for (const auto& [line, reason] : kBroken) {
    SCOPED_TRACE(line.substr(0, 100));
    const auto file = save(good(0) + "\n\n" + line + "\n" + good(1) + "\n", "x.jsonl");
    CorpusReader corpus({file}, {});
    Record record;
    ASSERT_TRUE(corpus.next(record));
    expect_error([&] { corpus.next(record); }, ExitCode::data, {file.string() + ":3: ", reason});
  }
}

TEST_F(CorpusTest, SkipsEveryKindOfBrokenLineAndListsIt) {
  std::string text;
  for (std::size_t i = 0; i < kBroken.size(); ++i)
    text += good(static_cast<int>(i)) + "\n" + kBroken[i].first + "\n";
  const auto file = save(text, "x.jsonl"), second = save(good(100), "y.jsonl");
  CorpusReader corpus = skipping({file, second});
  const auto read = instructions(corpus);
  ASSERT_EQ(read.size(), kBroken.size() + 1);
  EXPECT_EQ(read.back(), "q100");
  ASSERT_EQ(skipped_.size(), kBroken.size());
  for (std::size_t i = 0; i < kBroken.size(); ++i) {
    EXPECT_EQ(skipped_[i].file, file.string());
    EXPECT_EQ(skipped_[i].line, static_cast<std::int64_t>(2 * i + 2));
    EXPECT_THAT(skipped_[i].reason, HasSubstr(kBroken[i].second));
    EXPECT_THAT(skipped_[i].reason, ::testing::Not(HasSubstr(file.string())));
  }
}

TEST_F(CorpusTest, SkipsBrokenElementsOfAnArray) {
  const auto file = save("[" + good(0) + ",\n{\"a\":1}},\n" + good(1) +
                             ",\n{\"x\" 1},,\n{\"instruction\":\"\xff\"},\n7,\n" + good(2) + "]\n",
                         "x.json");
  CorpusReader corpus = skipping({file});
  EXPECT_EQ(instructions(corpus), (std::vector<std::string>{"q0", "q1", "q2"}));
  std::vector<std::int64_t> lines;
  for (const SkippedRecord& one : skipped_) lines.push_back(one.line);
  EXPECT_EQ(lines, (std::vector<std::int64_t>{2, 4, 4, 5, 6}));
}

TEST_F(CorpusTest, ADamagedFileStopsAlsoWhereRecordsAreSkipped) {
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
           {"cut.json", "[" + good(0) + ","},
           {"open.json", "[" + good(0) + " ,{\"instruction\":\"a"},
           {"behind.json", "[" + good(0) + "] x"},
           {"none.gz", good(0)}}) {
    SCOPED_TRACE(name);
    CorpusReader corpus = skipping({save(text, name)});
    expect_error([&] { instructions(corpus); }, ExitCode::data, {name});
  }
  CorpusReader absent = skipping({scratch_ / "absent.jsonl"});
  expect_error([&] { instructions(absent); }, ExitCode::data, {"absent.jsonl", "does not exist"});
}

TEST_F(CorpusTest, BlocksAreTheSameWhereverTheReaderStands) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += (i % 7 == 3 ? std::string("{") : good(i)) + "\n";
  const auto file = save(text, "x.jsonl"), second = save(text, "y.jsonl");
  CorpusReader whole = skipping({file, second});
  const auto all = instructions(whole);
  for (const std::int64_t first : {std::int64_t{50}, std::int64_t{3}, std::int64_t{30}, std::int64_t{0}}) {
    CorpusReader fresh = skipping({file, second});
    whole.block(17, 2);
    for (CorpusReader* corpus : {&fresh, &whole}) {
      const auto records = corpus->block(first, 12);
      ASSERT_EQ(records.size(), 12u);
      for (std::size_t i = 0; i < records.size(); ++i)
        EXPECT_EQ(records[i].instruction, all[static_cast<std::size_t>(first) + i]);
    }
  }
  EXPECT_TRUE(whole.block(static_cast<std::int64_t>(all.size()), 1).empty());
}

TEST_F(CorpusTest, EndsBehindSoManyRecords) {
  const std::vector<std::filesystem::path> files = {save(good(0) + "\nbroken\n" + good(1) + "\n", "a.jsonl"),
                                                    save(good(2) + "\n" + good(3) + "\n", "b.jsonl")};
  CorpusReader corpus = skipping(files);
  corpus.end_after(3);
  EXPECT_EQ(instructions(corpus), (std::vector<std::string>{"q0", "q1", "q2"}));
  EXPECT_EQ(corpus.block(1, 10).size(), 2u);
  EXPECT_EQ(corpus.block(3, 10).size(), 0u);
  CorpusReader shorter({files[1]}, {});
  shorter.end_after(1);
  EXPECT_EQ(shorter.block(0, 10).size(), 1u);
  EXPECT_EQ(shorter.block(1, 10).size(), 0u);
  CorpusReader longer({files[1]}, {});
  longer.end_after(100);
  EXPECT_EQ(instructions(longer).size(), 2u);
}

TEST_F(CorpusTest, AnEmptyCorpusHasNoRecords) {
  for (const char* text : {"", "\n\n \n", "\xef\xbb\xbf"}) {
    CorpusReader lines({save(text, "x.jsonl"), save(text, "x.json"), save("[]", "y.json")}, {});
    EXPECT_TRUE(instructions(lines).empty());
    EXPECT_TRUE(lines.block(0, 5).empty());
  }
}

TEST_F(CorpusTest, WithAllTurnsAChatHasARecordForEachOutput) {
  const auto chat = [](int i, int outputs) {
    std::string turns;
    for (int t = 0; t < outputs; ++t)
      turns += fmt::format(R"({}{{"role":"user","content":"q{}.{}"}},{{"role":"assistant","content":"a"}})",
                           t ? "," : "", i, t);
    return R"({"messages":[)" + turns + "]}\n";
  };
  std::string text;
  for (int i = 0; i < 9; ++i) text += chat(i, 1 + i % 3);
  const auto file = save(text, "x.jsonl");
  for (const OnError on_error : {OnError::stop, OnError::skip}) {
    CorpusReader corpus({file}, {}, on_error, {}, Outputs::required, Turns::all);
    const auto all = instructions(corpus);
    ASSERT_EQ(all.size(), 18u);
    EXPECT_EQ(all[1], "q1.0");
    EXPECT_EQ(all[2], "User: q1.0\n\nAssistant: a\n\nUser: q1.1");
    for (const std::int64_t first : {13, 4, 2, 17}) {
      const auto block = corpus.block(first, 2);
      ASSERT_FALSE(block.empty());
      EXPECT_EQ(block[0].instruction, all[static_cast<std::size_t>(first)]);
    }
  }
  CorpusReader firsts({file}, {});
  EXPECT_EQ(instructions(firsts).size(), 9u);
  EXPECT_EQ(firsts.turns_left_out().not_chosen, 9);
  EXPECT_THAT(firsts.turns_left_out().describe("corpus.turns", "first"),
              HasSubstr("9 assistant turns of chats are no outputs (corpus.turns: first)"));
}

TEST_F(CorpusTest, ABlankOutputIsABrokenRecord) {
  CorpusReader corpus =
      skipping({save(good(0) + "\n{\"instruction\":\"\",\"output\":\"\"}\n" + good(2), "x.jsonl")});
  EXPECT_EQ(instructions(corpus).size(), 2u);
  ASSERT_EQ(skipped_.size(), 1u);
  EXPECT_EQ(skipped_[0].line, 2);
  EXPECT_THAT(skipped_[0].reason, HasSubstr("the output is empty"));
}

TEST_F(CorpusTest, ArraysAreStreamed) {
  std::string text = "[\n";
  for (int i = 0; i < 40; ++i)
    text += R"({"instruction":"q)" + std::to_string(i) + R"(\\\" ]},[{\\","output":")" +
            std::string(30011, 'x') + "\"},\n";
  CorpusReader corpus({save(text + "{", "x.json")},
                      {});  // the end is broken: what lies before is read all the same
  Record record;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(corpus.next(record));
    EXPECT_EQ(record.instruction, "q" + std::to_string(i) + "\\\" ]},[{\\");
    EXPECT_EQ(record.output.size(), 30011u);
    EXPECT_EQ(record.line, i + 2);
  }
  expect_error([&] { corpus.next(record); }, ExitCode::data, {"x.json:42", "cut short"});
}

}  // namespace
}  // namespace rocket
