#include "pipeline/corpus_data.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::testing::ElementsAre;
using testing::Scratch;

constexpr int kRecords = 5000;

/// A corpus in two files, with a task whose shot equals record 1024 and whose item equals 1023 and 4999.
class CorpusData : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    at::set_num_threads(GetParam());
    std::string first, second;
    for (int i = 0; i < kRecords; ++i) (i < 1500 ? first : second) += record(i == 4999 ? 1023 : i);
    testing::save_text(scratch_ / "a.jsonl", first);
    testing::save_text(scratch_ / "b.jsonl", second);
    testing::save_text(scratch_ / "shots.jsonl", record(1024));
    testing::save_text(scratch_ / "items.jsonl", record(1023));
    config_.corpus.records = {(scratch_ / "a.jsonl").string(), (scratch_ / "b.jsonl").string()};
    config_.task.shots = (scratch_ / "shots.jsonl").string();
    config_.task.evaluation = (scratch_ / "items.jsonl").string();
  }
  void TearDown() override { at::set_num_threads(1); }

  static std::string record(int i) {
    return fmt::format("{{\"instruction\": \"Question {}\", \"output\": \"a\", \"answer\": \"a\"}}\n", i);
  }

  Scratch scratch_;
  RunConfig config_;
};

TEST_P(CorpusData, EveryContaminatedRecordIsFound) {
  EXPECT_THAT(contaminated_records(config_).records, ElementsAre(1023, 1024, 4999));
  config_.corpus.limit = 1024;
  EXPECT_THAT(contaminated_records(config_).records, ElementsAre(1023));
}

TEST_P(CorpusData, RecordsAreReadAtTheirIndices) {
  const std::vector<std::int64_t> indices{0, 1, 1499, 1500, 3000, 4998};
  for (const char* on_error : {"stop", "skip"}) {
    config_.corpus.on_error = on_error;
    std::vector<std::string> found(indices.size());
    for_each_record_at(config_, indices, [&](std::size_t i, Record&& record) {
      found[i] = fmt::format("{}:{}", record.instruction, record.line);
    });
    EXPECT_THAT(found, ElementsAre("Question 0:1", "Question 1:2", "Question 1499:1500", "Question 1500:1",
                                   "Question 3000:1501", "Question 4998:3499"));
  }
}

TEST_P(CorpusData, ARecordBehindTheEndIsAnError) {
  const std::vector<std::int64_t> indices{1, kRecords};
  try {
    for_each_record_at(config_, indices, [](std::size_t, Record&&) {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("there is no record 5000"));
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, CorpusData, ::testing::Values(1, 2, 7));

}  // namespace
}  // namespace rocket
