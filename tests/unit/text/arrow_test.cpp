// Arrow files and the folders that `datasets` saves (tests/parity/make_arrow_reference.py).
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/input_files.h"
#include "formats/parquet.h"
#include "fuzz/mutate.h"
#include "text/record.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::nlohmann::json;
using ::rocket::testing::expect_error;
using ::rocket::testing::save_text;
using ::rocket::testing::Scratch;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kData = "tests/data/formats/arrow/";

class ArrowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_parquet()) GTEST_SKIP() << "built without Apache Arrow (ROCKET_PARQUET)";
  }
};

TEST_F(ArrowTest, ReadsWhatDatasetsAndPyarrowWrote) {
  for (const char* name : {"plain", "chosen", "chats", "mixed", "file.arrow", "stream_lz4.arrow"}) {
    SCOPED_TRACE(name);
    const std::string reference = std::filesystem::path(name).stem().string() + ".json";
    const json expected = json::parse(read_file(kData + reference));
    std::vector<Record> records;
    for (const auto& file : expand_globs({kData + name}))
      std::ranges::move(read_records(file, {}), std::back_inserter(records));
    ASSERT_EQ(records.size(), expected.size());
    for (std::size_t i = 0; i < records.size(); ++i) {
      const Record& r = records[i];
      const json& e = expected[i];
      EXPECT_EQ(r.instruction, e["instruction"]);
      EXPECT_EQ(r.input, e["input"]);
      EXPECT_EQ(r.output, e["output"]);
      EXPECT_EQ(r.answer.value_or(""), e.value("answer", ""));
      EXPECT_EQ(r.tests, e.value("tests", std::vector<std::string>()));
    }
  }
}

TEST_F(ArrowTest, KnowsAFileByItsFirstBytesAndRowsByTheirNumber) {
  const Scratch scratch;
  save_text(scratch / "named_otherwise", read_file(kData + "plain/data-00001-of-00002.arrow"));
  const auto records = read_records(scratch / "named_otherwise", {});
  ASSERT_EQ(records.size(), 12u);
  EXPECT_EQ(records[0].line, 1);
  EXPECT_EQ(records[11].line, 12);
  expect_error(
      [&] {
        read_records(
            kData + "file.arrow",
            {{"instruction", "a"}, {"input", "b"}, {"output", "c"}, {"answer", "d"}, {"tests", "e"}});
      },
      ExitCode::data, {"file.arrow: no column that a record is made of", "there are: instruction, input"});
  save_text(scratch / "x.arrow", "<!doctype html><html>");
  expect_error([&] { read_records(scratch / "x.arrow", {}); }, ExitCode::data,
               {"x.arrow: expected an Arrow file, found an HTML page"});
}

TEST_F(ArrowTest, NothingButRecordsOrAnErrorComesOutOfDamage) {
  const Scratch scratch;
  std::vector<std::string> seeds;
  for (const char* name : {"plain/data-00000-of-00002.arrow", "chats/data-00000-of-00001.arrow",
                           "mixed/data-00000-of-00001.arrow", "file.arrow", "stream_lz4.arrow"})
    seeds.push_back(read_file(kData + name));
  fuzz::Mutator mutator(seeds);
  for (int i = 0; i < 1'500; ++i) {
    save_text(scratch / "x.arrow", mutator.next());
    try {
      read_records(scratch / "x.arrow", {});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
}

class SavedDatasetTest : public ::testing::Test {
 protected:
  FileMatches of(const std::string& state, const char* name = "state.json") {
    make_folders(scratch_ / "d");
    save_text(scratch_ / "d" / name, state);
    return match_files((scratch_ / "d").string());
  }
  Scratch scratch_;
};

TEST_F(SavedDatasetTest, StandsForItsFiles) {
  const std::string plain = kData + "plain";
  EXPECT_THAT(match_files(plain).files,
              ElementsAre(plain + "/data-00000-of-00002.arrow", plain + "/data-00001-of-00002.arrow"));
  EXPECT_THAT(
      match_files(kData + "[cp]*").files,
      ElementsAre(kData + "chats.json", kData + "chats/data-00000-of-00001.arrow", kData + "chosen.json",
                  kData + "chosen/data-00000-of-00001.arrow", kData + "plain.json",
                  plain + "/data-00000-of-00002.arrow", plain + "/data-00001-of-00002.arrow"));
}

TEST_F(SavedDatasetTest, NamesWhatItCannotStandFor) {
  EXPECT_THAT(match_files(kData + "splits").problem,
              HasSubstr("holds several splits: name one of them: " + kData + "splits/train, " + kData +
                        "splits/test"));
  EXPECT_THAT(of("{}").problem, HasSubstr("state.json names no _data_files"));
  EXPECT_THAT(of("{").problem, HasSubstr("names no _data_files"));
  EXPECT_THAT(of(R"({"_data_files": [{"filename": "../x.arrow"}]})").problem,
              HasSubstr("names of files in the folder"));
  EXPECT_THAT(of(R"({"_data_files": [{"filename": "x.arrow"}]})").problem,
              HasSubstr("d/x.arrow does not exist"));
  EXPECT_THAT(of(R"({"_data_files": [], "_indices_files": [{"filename": "i.arrow"}]})").problem,
              HasSubstr("_indices_files: rows"));
  EXPECT_THAT(of("[]", "dataset_dict.json").problem, HasSubstr("names no splits"));
}

}  // namespace
}  // namespace rocket
