// What a job says on stderr and in its event log.
#include <nlohmann/json.hpp>

#include "base/events.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using testing::expect_error;
using ::testing::HasSubstr;
using testing::Scratch;
using ::testing::internal::CaptureStderr;
using ::testing::internal::GetCapturedStderr;

std::string said_with(log::Level level, bool speaks) {
  CaptureStderr();
  log::configure(level, speaks);
  log::info("info {}", 1);
  log::detail("detail");
  log::warn("careful");
  log::configure(log::Level::normal, true);
  return GetCapturedStderr();
}

TEST(Log, ShowsWhatItsLevelAsksFor) {
  EXPECT_EQ(said_with(log::Level::quiet, true), "warning: careful\n");
  EXPECT_EQ(said_with(log::Level::normal, true), "info 1\nwarning: careful\n");
  EXPECT_EQ(said_with(log::Level::verbose, true), "info 1\ndetail\nwarning: careful\n");
}

TEST(Log, OnlyTheRankThatSpeaksSpeaks) {
  EXPECT_EQ(said_with(log::Level::verbose, false), "");
}

TEST(Log, LinesAppearAboveTheStatusLine) {
  CaptureStderr();
  log::show_status("bar 1");
  log::info("line");
  log::end_status(true);
  log::info("after");
  EXPECT_EQ(GetCapturedStderr(), "\r\033[Kbar 1\r\033[Kline\nbar 1\nafter\n");
}

TEST(Progress, LineHasShareRateAndTimeLeft) {
  EXPECT_EQ(progress_line("score", "units", 30, 120, 20, 10, "", 0),
            "score  25% 30/120 units, 2.0 units/s, 0:45 left");
  EXPECT_EQ(progress_line("score", "units", 1, 100, 1, 100, "loss 1.5", 4),
            "score   1% [....] 1/100 units, 0.6 units/min, 2:45:00 left, loss 1.5");
  EXPECT_EQ(progress_line("score", "units", 4, 4, 4, 2, "", 4),
            "score 100% [####] 4/4 units, 2.0 units/s, took 0:02");
  EXPECT_EQ(progress_line("score", "units", 0, 4, 0, 2, "", 0), "score   0% 0/4 units");
  EXPECT_EQ(progress_line("score", "units", 0, 0, 0, 2, "", 0), "score 100% 0/0 units");
}

TEST(Progress, InALogSaysNothingWithinTenSeconds) {
  CaptureStderr();
  {
    Progress progress("score", "units", 1000, 0);
    for (int i = 0; i < 1000; ++i) {
      progress.advance();
    }
  }
  EXPECT_EQ(GetCapturedStderr(), "");
}

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

TEST(Events, AreOneJsonObjectALine) {
  const Scratch scratch;
  EventLog(scratch / "events", 3, "score").write("unit", {{"unit", 7}, {"seconds", 1.5}});
  EventLog(scratch / "events", 3, "embed").write("bad \xff text", nlohmann::json::object());
  const auto lines = lines_of(scratch / "events/rank-00003.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  const auto first = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(first["job"], "score");
  EXPECT_EQ(first["what"], "unit");
  EXPECT_EQ(first["unit"], 7);
  EXPECT_EQ(first["seconds"], 1.5);
  EXPECT_THAT(first["time"].get<std::string>(), ::testing::MatchesRegex("20..-..-..T..:..:..\\....Z"));
  EXPECT_EQ(nlohmann::json::parse(lines[1])["what"], "bad \uFFFD text");
}

TEST(Events, ALineAfterATornOneStandsAlone) {
  const Scratch scratch;
  std::ofstream(scratch / "rank-00000.jsonl") << "{\"time\": \"20";
  EventLog(scratch.folder(), 0, "score").write("start", nlohmann::json::object());
  const auto lines = lines_of(scratch / "rank-00000.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(nlohmann::json::parse(lines[1])["what"], "start");
}

TEST(Events, WithoutAFolderNothingIsWritten) {
  EventLog("", 0, "score").write("start", nlohmann::json::object());
}

TEST(Events, AFolderThatCannotBeMadeIsAStorageError) {
  const Scratch scratch;
  write_file(scratch / "file", "x");
  expect_error([&] { EventLog(scratch / "file", 0, "score"); }, ExitCode::storage, {"file"});
}

}  // namespace
}  // namespace rocket
