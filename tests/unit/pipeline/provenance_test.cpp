#include "pipeline/provenance.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"

namespace rocket {
namespace {

class ProvenanceTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / fmt::format("rocket-provenance-{}", ::getpid());
    remove_tree(root_);
    make_folders(root_);
    write_file(root_ / "items.jsonl", "{}\n");
    config_.run = (root_ / "run").string();
    config_.task.evaluation = (root_ / "items.jsonl").string();
    make_folders(config_.run);
  }
  void TearDown() override { remove_tree(root_); }

  RunDirectory run() const { return RunDirectory(config_.run); }
  JobRecord now(const std::optional<JobRecord>& before = {}) const {
    return describe(job_spec("select"), config_, run(), before);
  }
  void upstream(const std::string& fingerprint) const {
    JobRecord embed;
    embed.job = "embed";
    embed.fingerprint = fingerprint;
    embed.settings = "{}";
    write_record(run(), embed);
  }

  fs::path root_;
  RunConfig config_;
};

TEST_F(ProvenanceTest, TheSameInputsAndSettingsHaveTheSameFingerprint) {
  EXPECT_EQ(now().fingerprint, now().fingerprint);
  EXPECT_EQ(change_between(now(), now()), std::nullopt);
}

TEST_F(ProvenanceTest, AnotherBuildIsNoChange) {
  upstream("a");
  const JobRecord was = now();
  JobRecord other = was;
  other.build = R"({"version": "9.9.9", "libraries": {"LibTorch": "3.0.0"}})";
  EXPECT_EQ(change_between(other, was), std::nullopt);
  write_record(run(), other);
  const auto read = read_record(run(), "select");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->build, nlohmann::json::parse(other.build).dump());
  EXPECT_EQ(change_between(*read, now(read)), std::nullopt);
}

TEST_F(ProvenanceTest, ARecordWithTheBuildAsAPhraseIsRead) {
  JobRecord was = now();
  was.build = R"("0.1.0, LibTorch 2.11.0")";  // as versions before the build was an object wrote it
  write_record(run(), was);
  const auto read = read_record(run(), "select");
  ASSERT_TRUE(read);
  EXPECT_EQ(change_between(*read, now(read)), std::nullopt);
  JobRecord another_version = now();
  another_version.fingerprint = "0";
  const auto change = change_between(*read, another_version);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->what, "it was computed by another version of the job (0.1.0, LibTorch 2.11.0)");
}

TEST_F(ProvenanceTest, AChangedSettingIsNamedWithBothValues) {
  const JobRecord was = now();
  config_.selection.retrieve = 7;
  const auto change = change_between(was, now());
  ASSERT_TRUE(change);
  EXPECT_EQ(change->code, ExitCode::config);
  EXPECT_EQ(change->what, "selection.retrieve was 1000, is 7");
}

TEST_F(ProvenanceTest, ASettingOfAnotherJobIsNoChange) {
  const JobRecord was = now();
  config_.training.epochs = 9;
  EXPECT_EQ(change_between(was, now()), std::nullopt);
}

TEST_F(ProvenanceTest, AChangedFileIsNamed) {
  const JobRecord was = now();
  write_file(root_ / "items.jsonl", "{ }\n");
  const auto change = change_between(was, now(was));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->code, ExitCode::data);
  EXPECT_NE(change->what.find("task.evaluation"), std::string::npos);
}

TEST_F(ProvenanceTest, ATouchedOrMovedFileOfTheSameContentIsNoChange) {
  const JobRecord was = now();
  fs::rename(root_ / "items.jsonl", root_ / "moved.jsonl");
  config_.task.evaluation = (root_ / "moved.jsonl").string();
  fs::last_write_time(root_ / "moved.jsonl", fs::file_time_type::clock::now());
  EXPECT_EQ(change_between(was, now(was)), std::nullopt);
}

TEST_F(ProvenanceTest, ANewResultUnderneathIsNamed) {
  upstream("a");
  const JobRecord was = now();
  upstream("b");
  const auto change = change_between(was, now());
  ASSERT_TRUE(change);
  EXPECT_NE(change->what.find("`embed`"), std::string::npos);
}

TEST_F(ProvenanceTest, RecordsComeBackAsTheyWere) {
  JobRecord record = now();
  record.done = true;
  record.parts_done = record.parts_total = 3;
  record.exit = 0;
  record.configuration = {{"a b.yaml", "0123"}};
  write_record(run(), record);
  const auto read = read_record(run(), "select");
  ASSERT_TRUE(read);
  EXPECT_EQ(change_between(record, *read), std::nullopt);
  EXPECT_TRUE(read->done);
  EXPECT_EQ(read->configuration, record.configuration);
  EXPECT_EQ(read->parts_total, 3);
  EXPECT_NE(read_file(run().manifest()).find("\"select\""), std::string::npos);
}

TEST_F(ProvenanceTest, ARecordThatIsGoneOrBrokenIsThatOfTheManifest) {
  JobRecord record = now();
  record.attempt = "one";
  record.results = {{"select.h5", "hash"}};
  write_record(run(), record);
  for (const char* left : {"", "{"}) {
    remove_tree(run().record("select"));
    if (*left) write_file(run().record("select"), left);
    const auto read = read_record(run(), "select");
    ASSERT_TRUE(read);
    EXPECT_EQ(read->attempt, "one");
    EXPECT_EQ(read->results, record.results);
  }
  upstream("a");  // another job writes the manifest meanwhile
  EXPECT_TRUE(read_record(run(), "select"));
}

TEST_F(ProvenanceTest, WhatIsForgottenDoesNotComeBack) {
  write_record(run(), now());
  forget_record(run(), "select");
  EXPECT_FALSE(read_record(run(), "select"));
  upstream("a");
  EXPECT_FALSE(read_record(run(), "select"));
}

TEST_F(ProvenanceTest, ARecordThatIsBrokenEverywhereStopsTheJobAndSaysTheWayOut) {
  write_record(run(), now());
  write_file(run().record("select"), "{");
  write_file(run().manifest(), "{");
  try {
    read_record(run(), "select");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_NE(std::string(e.what()).find("--fresh"), std::string::npos);
  }
}

TEST(JobSpecs, StandOnlyOnJobsBeforeThem) {
  RunConfig all_rivals;
  all_rivals.evaluation.rivals.assign(tuned_rivals.begin(), tuned_rivals.end());
  std::set<std::string> before;
  for (const JobSpec& spec : job_specs()) {
    for (const std::string& job : upstream_of(spec, all_rivals))
      EXPECT_TRUE(before.contains(job)) << spec.name << " stands on " << job;
    before.insert(spec.name);
  }
}

TEST(JobSpecs, NameSettingsThatExist) {
  for (const JobSpec& spec : job_specs()) EXPECT_NO_THROW(canonical(RunConfig{}, spec.settings)) << spec.name;
}

}  // namespace
}  // namespace rocket
