#include "base/claim.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "base/stop.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Scratch;
using ::testing::SizeIs;

constexpr ClaimLimits kShort{milliseconds(20), milliseconds(300)};

/// The file of a claim that this process really makes, as JSON to be changed.
json own_file(const Scratch& scratch) {
  Claim claim(scratch / "claims", "score", {});
  EXPECT_THAT(claim.try_hold(), IsEmpty());
  for (const auto& entry : fs::directory_iterator(scratch / "claims"))
    return json::parse(read_file(entry.path()));
  return {};
}

void put(const Scratch& scratch, const std::string& content) {
  make_folders(scratch / "claims");
  write_file((scratch / "claims") / "score.0000000000000000", content);
}

/// Attempts until it holds; how long that took.
milliseconds time_to_hold(Claim& claim) {
  const auto start = std::chrono::steady_clock::now();
  while (!claim.try_hold().empty()) std::this_thread::sleep_for(milliseconds(5));
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
}

TEST(Claims, TheSecondIsToldWhoHolds) {
  Scratch scratch;
  Claim first(scratch / "claims", "score", {}), second(scratch / "claims", "score", {});
  EXPECT_THAT(first.try_hold(), IsEmpty());
  EXPECT_THAT(first.try_hold(), IsEmpty());
  const auto others = second.try_hold();
  ASSERT_THAT(others, SizeIs(1));
  EXPECT_EQ(others[0].pid, ::getpid());
  EXPECT_THAT(describe(others[0]), HasSubstr("since 20"));
}

TEST(Claims, WhatIsGivenUpCanBeHeld) {
  Scratch scratch;
  Claim second(scratch / "claims", "score", {});
  {
    Claim first(scratch / "claims", "score", {});
    EXPECT_THAT(first.try_hold(), IsEmpty());
    EXPECT_THAT(second.try_hold(), SizeIs(1));
  }
  EXPECT_THAT(second.try_hold(), IsEmpty());
}

TEST(Claims, OnlyConflictingNamesKeepEachOtherOut) {
  Scratch scratch;
  Claim score(scratch / "claims", "score", {"experts"}), embed(scratch / "claims", "embed", {"select"}),
      experts(scratch / "claims", "experts", {"score"});
  EXPECT_THAT(score.try_hold(), IsEmpty());
  EXPECT_THAT(embed.try_hold(), IsEmpty());
  EXPECT_THAT(experts.try_hold(), SizeIs(1));
}

TEST(Claims, AProcessThatDiedHoldsNothing) {
  Scratch scratch;
  const pid_t child = ::fork();
  if (child == 0) {
    Claim claim(scratch / "claims", "score", {});
    ::_exit(claim.try_hold().empty() ? 0 : 1);  // without giving it up
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  // The child is a copy, and says of itself what its parent found; so the file is given the child's pid.
  for (const auto& entry : fs::directory_iterator(scratch / "claims")) {
    json file = json::parse(read_file(entry.path()));
    file["pid"] = child;
    write_file(entry.path(), file.dump());
  }
  Claim next(scratch / "claims", "score", {});
  EXPECT_THAT(next.try_hold(), IsEmpty());
}

TEST(Claims, APidThatWasGivenOutAgainHoldsNothing) {
  Scratch scratch;
  json file = own_file(scratch);
  file["started"] = file["started"].get<std::uint64_t>() - 1;
  put(scratch, file.dump());
  Claim next(scratch / "claims", "score", {});
  EXPECT_THAT(next.try_hold(), IsEmpty());
}

TEST(Claims, OnAnotherHostOrInAnotherContainerSilenceDecides) {
  Scratch scratch;
  for (const char* where : {"boot", "space"}) {
    json file = own_file(scratch);
    file[where] = "another";
    put(scratch, file.dump());
    Claim next(scratch / "claims", "score", {}, kShort);
    EXPECT_GE(time_to_hold(next), kShort.silence) << where;
  }
}

TEST(Claims, WhoeverTouchesItsFileLives) {
  Scratch scratch;
  json file = own_file(scratch);
  file["boot"] = "another";
  put(scratch, file.dump());
  Claim next(scratch / "claims", "score", {}, kShort);
  for (int turn = 0; turn < 12; ++turn) {
    EXPECT_THAT(next.try_hold(), SizeIs(1));
    std::this_thread::sleep_for(milliseconds(50));
    fs::last_write_time((scratch / "claims") / "score.0000000000000000", fs::file_time_type::clock::now());
  }
}

TEST(Claims, AFileWithoutContentCountsUntilItIsSilent) {
  Scratch scratch;
  put(scratch, "");
  Claim next(scratch / "claims", "score", {}, kShort);
  EXPECT_THAT(next.try_hold(), SizeIs(1));
  EXPECT_GE(time_to_hold(next), kShort.silence / 2);
}

TEST(Claims, AHolderTouchesItsFile) {
  Scratch scratch;
  Claim claim(scratch / "claims", "score", {}, kShort);
  EXPECT_THAT(claim.try_hold(), IsEmpty());
  const fs::path file = fs::directory_iterator(scratch / "claims")->path();
  const auto before = fs::last_write_time(file);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_GT(fs::last_write_time(file), before);
}

TEST(Claims, AHolderThatWasTakenForDeadIsToldAndAskedToStop) {
  Scratch scratch;
  clear_stop_request();
  Claim claim(scratch / "claims", "score", {}, kShort);
  EXPECT_THAT(claim.try_hold(), IsEmpty());
  fs::remove(fs::directory_iterator(scratch / "claims")->path());
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_TRUE(claim.lost());
  EXPECT_TRUE(stop_requested());
  clear_stop_request();
}

TEST(Claims, AHolderThatAsksNeedNotWaitForItsNextBeat) {
  Scratch scratch;
  clear_stop_request();
  Claim claim(scratch / "claims", "score", {});
  EXPECT_THAT(claim.try_hold(), IsEmpty());
  EXPECT_FALSE(claim.lost());
  fs::remove(fs::directory_iterator(scratch / "claims")->path());
  EXPECT_TRUE(claim.lost());
  EXPECT_TRUE(stop_requested());
  clear_stop_request();
}

TEST(Claims, OfManyOneHoldsAtATimeAndAllDo) {
  Scratch scratch;
  std::atomic<int> inside = 0, most = 0, held = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 10; ++turn) {
        Claim claim(scratch / "claims", "score", {});
        for (Patience patience; !claim.try_hold().empty();) patience.sleep();
        const int now = ++inside;
        if (now > most) most = now;
        std::this_thread::sleep_for(milliseconds(1));
        --inside;
        ++held;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 1);
  EXPECT_EQ(held, 60);
}

TEST(Claims, WhereNothingCanBeWrittenTheErrorNamesTheFile) {
  Scratch scratch;
  write_file(scratch / "claims", "");
  Claim claim(scratch / "claims", "score", {});
  testing::expect_error([&] { claim.try_hold(); }, ExitCode::storage, {(scratch / "claims").string()});
}

}  // namespace
}  // namespace rocket
