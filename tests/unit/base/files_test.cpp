#include "base/files.h"

#include <sys/stat.h>

#include <utility>

#include "base/hash.h"
#include "unit/base/full_disk.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using testing::expect_error;
using testing::FullDisk;
using testing::Scratch;

std::string as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Files, WhatIsWrittenIsRead) {
  const Scratch scratch;
  const std::string content("a\0b\nc", 5);
  write_file(scratch / "x", content);
  EXPECT_EQ(read_file(scratch / "x"), content);
  write_file(scratch / "x", "");
  EXPECT_EQ(read_file(scratch / "x"), "");
  EXPECT_EQ(scratch.files(), 1);
}

TEST(Files, AFileWithoutALengthIsReadToItsEnd) {
  EXPECT_THAT(read_file("/proc/self/status"), ::testing::HasSubstr("VmRSS"));
}

TEST(Files, ReadingWhatIsNotThereNamesItAndTheReason) {
  const Scratch scratch;
  expect_error([&] { read_file(scratch / "absent"); }, ExitCode::data, {"absent", "No such file"});
  expect_error([&] { read_file(scratch.folder()); }, ExitCode::data, {"Is a directory"});
  expect_error([&] { MappedFile(scratch / "absent"); }, ExitCode::data, {"absent", "No such file"});
  expect_error([&] { hash_file(scratch.folder()); }, ExitCode::data, {"Is a directory"});
}

TEST(Files, AFullDiskLeavesTheOldFileAndNothingElse) {
  const Scratch scratch;
  write_file(scratch / "x", "old");
  {
    const FullDisk full(1000);
    expect_error([&] { write_file(scratch / "x", std::string(5000, 'n')); }, ExitCode::storage,
                 {"x'", "File too large"});
  }
  EXPECT_EQ(read_file(scratch / "x"), "old");
  EXPECT_EQ(scratch.files(), 1);
}

TEST(Files, WritingWhereNothingCanBeWrittenIsAStorageError) {
  const Scratch scratch;
  expect_error([&] { write_file(scratch / "no/x", "y"); }, ExitCode::storage, {"no/x", "No such file"});
  make_folders(scratch / "folder");
  expect_error([&] { write_file(scratch / "folder", "y"); }, ExitCode::storage, {"folder", "directory"});
  EXPECT_EQ(scratch.files(), 1);
  write_file(scratch / "x", "y");
  expect_error([&] { make_folders(scratch / "x"); }, ExitCode::storage, {"x'"});
  expect_error([&] { make_folders(scratch / "x/y"); }, ExitCode::storage, {"x/y"});
}

TEST(Files, ANameWithoutFolderIsWrittenHere) {
  const Scratch scratch;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(scratch.folder());
  write_file("here", "y");
  std::filesystem::current_path(before);
  EXPECT_EQ(read_file(scratch / "here"), "y");
}

TEST(PendingFile, IsThereOnlyAfterCommit) {
  const Scratch scratch;
  {
    const PendingFile pending(scratch / "x");
    std::ofstream(pending.temporary()) << "half";
    EXPECT_EQ(scratch.files(), 1);
  }
  EXPECT_EQ(scratch.files(), 0);
  PendingFile pending(scratch / "x");
  std::ofstream(pending.temporary()) << "whole";
  pending.commit();
  EXPECT_EQ(read_file(scratch / "x"), "whole");
  EXPECT_EQ(scratch.files(), 1);
}

TEST(PendingFile, TwoWritersOfOneFileDoNotMeet) {
  const Scratch scratch;
  const PendingFile one(scratch / "x"), two(scratch / "x");
  EXPECT_NE(one.temporary(), two.temporary());
  EXPECT_EQ(one.temporary().parent_path(), scratch.folder());
}

TEST(PendingFile, CommittingWhatWasNeverWrittenIsAStorageError) {
  const Scratch scratch;
  PendingFile pending(scratch / "x");
  expect_error([&] { pending.commit(); }, ExitCode::storage, {"x'", "No such file"});
}

TEST(RemoveLeftovers, TakesTemporaryFilesOnly) {
  const Scratch scratch;
  write_file(scratch / "part.h5", "good");
  make_folders(scratch / "below");
  // What processes leave that are killed before they commit.
  const std::filesystem::path killed = PendingFile(scratch / "part.h5").temporary();
  const std::filesystem::path killed_below = PendingFile(scratch / "below/part.h5").temporary();
  std::ofstream(killed) << "half";
  std::ofstream(killed_below) << "half";
  EXPECT_EQ(scratch.files(), 3);
  remove_leftovers(scratch.folder());
  EXPECT_EQ(scratch.files(), 2);
  EXPECT_FALSE(std::filesystem::is_empty(scratch / "below"));
  EXPECT_EQ(read_file(scratch / "part.h5"), "good");
  remove_leftovers(scratch / "absent");
}

TEST(RemoveTree, TakesAllAndForgivesAbsence) {
  const Scratch scratch;
  make_folders(scratch / "a/b");
  write_file(scratch / "a/b/c", "x");
  remove_tree(scratch / "a");
  EXPECT_EQ(scratch.files(), 0);
  remove_tree(scratch / "a");
}

TEST(MappedFile, ShowsTheBytesAlsoAfterAMove) {
  const Scratch scratch;
  write_file(scratch / "x", "mapped");
  MappedFile first(scratch / "x");
  EXPECT_EQ(as_text(first.bytes()), "mapped");
  const MappedFile second(std::move(first));
  EXPECT_EQ(as_text(second.bytes()), "mapped");
  EXPECT_TRUE(first.bytes().empty());
}

TEST(MappedFile, AnEmptyFileIsAnEmptySpan) {
  const Scratch scratch;
  write_file(scratch / "x", "");
  EXPECT_TRUE(MappedFile(scratch / "x").bytes().empty());
}

TEST(MappedFile, APipeIsRefusedAndNotWaitedFor) {
  const Scratch scratch;
  ASSERT_EQ(::mkfifo((scratch / "pipe").c_str(), 0600), 0);
  expect_error([&] { MappedFile(scratch / "pipe"); }, ExitCode::data, {"pipe", "not a regular file"});
}

TEST(RequireWritable, LooksAtTheNearestFolderAndLeavesNothing) {
  const Scratch scratch;
  require_writable(scratch / "run/parts/score");
  require_writable(scratch.folder());
  EXPECT_EQ(scratch.files(), 0);
  write_file(scratch / "file", "");
  for (const fs::path& place : {scratch / "file", scratch / "file/run", fs::path("/proc/none/run")})
    expect_error([&] { require_writable(place); }, ExitCode::storage, {place.string()});
}

// xxhsum -H2 gives the same.
TEST(Hash, EqualsXxh3Of128Bits) {
  EXPECT_EQ(hash_text(""), "99aa06d3014798d86001c324468d497f");
  const Scratch scratch;
  write_file(scratch / "x", std::string(100000, 'r'));
  EXPECT_EQ(hash_file(scratch / "x"), hash_text(std::string(100000, 'r')));
}

TEST(Hash, TextsKeepTheirBoundaries) {
  const auto of = [](std::string_view a, std::string_view b) {
    Hasher hasher;
    hasher.add(a);
    hasher.add(b);
    return hasher.hex();
  };
  EXPECT_NE(of("ab", "c"), of("a", "bc"));
  EXPECT_EQ(of("ab", "c"), of("ab", "c"));
}

}  // namespace
}  // namespace rocket
