#include "formats/parquet.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "fuzz/mutate.h"
#include "text/corpus.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::nlohmann::json;
using ::rocket::testing::expect_error;
using ::rocket::testing::Scratch;

const std::string kData = "tests/data/formats/parquet/";

std::vector<std::string> answers(const std::string& column) {
  std::vector<std::string> read;
  for (const Record& record : read_records(kData + "answers.parquet", {{"answer", column}}))
    read.push_back(record.answer.value_or("none"));
  return read;
}

class ParquetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_parquet()) GTEST_SKIP() << "built without Apache Arrow (ROCKET_PARQUET)";
  }
};

TEST_F(ParquetTest, ReadsWhatPyarrowWroteInEveryForm) {
  for (const char* name : {"plain_none", "plain_snappy", "plain_zstd", "plain_gzip", "plain_brotli",
                           "plain_lz4", "other_types", "empty", "chats", "share_gpt"}) {
    SCOPED_TRACE(name);
    const json expected = json::parse(read_file(kData + name + ".json"));
    const auto records = read_records(kData + name + ".parquet", {});
    ASSERT_EQ(records.size(), expected.size());
    for (std::size_t i = 0; i < records.size(); ++i) {
      const Record& r = records[i];
      const json& e = expected[i];
      EXPECT_EQ(r.instruction, e["instruction"]);
      EXPECT_EQ(r.input, e["input"]);
      EXPECT_EQ(r.output, e["output"]);
      EXPECT_EQ(r.rationale.value_or(""), e["rationale"]);
      EXPECT_EQ(r.answer.value_or(""), e["answer"]);
      EXPECT_EQ(r.tests, e.value("tests", std::vector<std::string>()));
      EXPECT_EQ(r.line, static_cast<std::int64_t>(i) + 1);
    }
  }
}

TEST_F(ParquetTest, FollowsPathsIntoStructs) {
  const json expected = json::parse(read_file(kData + "nested.json"));
  const auto records = read_records(kData + "nested.parquet", {{"messages", "data.turns"}});
  ASSERT_EQ(records.size(), expected.size());
  for (std::size_t i = 0; i < records.size(); ++i)
    EXPECT_EQ(records[i].instruction, expected[i]["instruction"]);
}

TEST_F(ParquetTest, ReadsTurnsThatAreTextOfJson) {
  const json expected = json::parse(read_file(kData + "json_text.json"));
  const auto records = read_records(kData + "json_text.parquet", {});
  ASSERT_EQ(records.size(), expected.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].instruction, expected[i]["instruction"]);
    EXPECT_EQ(records[i].output, expected[i]["output"]);
  }
}

TEST_F(ParquetTest, AnswersMayBeNumbersAndBooleans) {
  using Answers = std::vector<std::string>;
  EXPECT_EQ(answers("ints"), (Answers{"1", "-2", "3"}));
  EXPECT_EQ(answers("unsigned"), (Answers{"1", "2", "18446744073709551615"}));
  EXPECT_EQ(answers("doubles"), (Answers{"1.5", "-0.25", "1e+30"}));
  EXPECT_EQ(answers("bools"), (Answers{"true", "false", "true"}));
  EXPECT_EQ(answers("decimals"), (Answers{"1.50", "-2.00", "0.25"}));
  EXPECT_EQ(answers("missing")[0], "1");
  EXPECT_EQ(answers("missing")[1], "none");
  EXPECT_EQ(answers("missing")[2], "none");
  expect_error([&] { answers("day"); }, ExitCode::data,
               {"answers.parquet:1: ", "column 'day'", "date32", "no place in a record"});
}

TEST_F(ParquetTest, BrokenRowsHaveTheirNumberAndMayBeSkipped) {
  const std::string file = kData + "broken.parquet";
  CorpusReader stops({file}, {});
  Record record;
  ASSERT_TRUE(stops.next(record));
  expect_error([&] { stops.next(record); }, ExitCode::data,
               {file + ":2: ", "no key 'instruction'", "'input'"});
  std::vector<std::pair<std::int64_t, std::string>> skipped;
  CorpusReader skips({file}, {}, OnError::skip,
                     [&](const SkippedRecord& one) { skipped.emplace_back(one.line, one.reason); });
  std::string read;
  while (skips.next(record)) read += record.instruction;
  EXPECT_EQ(read, "ae");
  ASSERT_EQ(skipped.size(), 3u);
  EXPECT_EQ(skipped[1].first, 3);
  EXPECT_NE(skipped[1].second.find("no 'output'"), std::string::npos);
  EXPECT_EQ(skipped[2].first, 4);
  EXPECT_EQ(skipped[2].second, "column 'input': no UTF-8");
}

TEST_F(ParquetTest, RefusesFilesWithoutItsColumns) {
  expect_error([&] { read_records(kData + "no_columns.parquet", {}); }, ExitCode::data,
               {"no_columns.parquet: no column", "instruction", "there are: text, score"});
}

TEST_F(ParquetTest, BlocksGoBackAndForth) {
  CorpusReader corpus({kData + "plain_zstd.parquet", kData + "chats.parquet"}, {}, OnError::stop, {},
                      Outputs::optional);
  for (const std::int64_t first : {60, 3, 49, 0, 17}) {
    const auto records = corpus.block(first, 2);
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].line, first < 50 ? first + 1 : first - 49);
  }
  EXPECT_TRUE(corpus.block(90, 1).empty());
}

TEST_F(ParquetTest, NothingButRecordsOrAnErrorComesOutOfDamage) {
  const Scratch scratch;
  std::vector<std::string> seeds;
  for (const char* name : {"plain_none", "plain_snappy", "other_types", "chats", "nested"})
    seeds.push_back(read_file(kData + name + ".parquet"));
  for (std::size_t n = 0; n < seeds[0].size(); n += 97) {
    rocket::testing::save_text(scratch / "x.parquet", seeds[0].substr(0, n));
    expect_error([&] { read_records(scratch / "x.parquet", {}); }, ExitCode::data, {"x.parquet"});
  }
  fuzz::Mutator mutator(seeds);
  for (int i = 0; i < 1'500; ++i) {
    rocket::testing::save_text(scratch / "x.parquet", mutator.next());
    try {
      read_records(scratch / "x.parquet", {{"messages", i % 2 ? "messages" : "data.turns"}});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
}

TEST(ParquetStubTest, SaysHowToBuildIt) {
  if (has_parquet()) GTEST_SKIP() << "built with Apache Arrow";
  expect_error([&] { read_records(kData + "plain_none.parquet", {}); }, ExitCode::data,
               {"plain_none.parquet", "not built into this program", "tools/build --parquet"});
}

}  // namespace
}  // namespace rocket
