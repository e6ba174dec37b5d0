#include "base/input_files.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "unit/base/scratch.h"

namespace rocket {
namespace {

using ::testing::HasSubstr;
using Names = std::vector<std::string>;

class InputFilesTest : public ::testing::Test {
 protected:
  InputFilesTest() {
    for (const char* file : {"a.jsonl", "b.txt", ".hidden.jsonl", "x/a.jsonl", "x/y/a.jsonl",
                             "x/y/c[1].jsonl", "x/.dot/a.jsonl", "z/B.jsonl"}) {
      make_folders((scratch_ / file).parent_path());
      write_file(scratch_ / file, "");
    }
  }
  Names found(const std::string& pattern) {
    const FileMatches matches = match_files((scratch_ / pattern).string());
    EXPECT_EQ(matches.problem, "") << pattern;
    Names names;
    for (const auto& file : matches.files)
      names.push_back(file.lexically_relative(scratch_.folder()).string());
    return names;
  }
  std::string problem(const std::string& pattern) {
    const FileMatches matches = match_files((scratch_ / pattern).string());
    EXPECT_TRUE(matches.files.empty()) << pattern;
    return matches.problem;
  }
  void link(const std::string& to, const std::string& name) {
    std::filesystem::create_symlink(to, scratch_ / name);
  }
  testing::Scratch scratch_;
};

// sorted(glob.glob(pattern, recursive=True)) of Python 3.11, without the folders.
TEST_F(InputFilesTest, FindsWhatPythonsGlobFinds) {
  EXPECT_EQ(found("*.jsonl"), (Names{"a.jsonl"}));
  EXPECT_EQ(found("**/*.jsonl"),
            (Names{"a.jsonl", "x/a.jsonl", "x/y/a.jsonl", "x/y/c[1].jsonl", "z/B.jsonl"}));
  EXPECT_EQ(found("**/a.jsonl"), (Names{"a.jsonl", "x/a.jsonl", "x/y/a.jsonl"}));
  EXPECT_EQ(found("x/**"), (Names{"x/a.jsonl", "x/y/a.jsonl", "x/y/c[1].jsonl"}));
  EXPECT_EQ(found("**/y/*"), (Names{"x/y/a.jsonl", "x/y/c[1].jsonl"}));
  EXPECT_EQ(found("**/**/a.jsonl"), (Names{"a.jsonl", "x/a.jsonl", "x/y/a.jsonl"}));
  EXPECT_EQ(found("*/*.jsonl"), (Names{"x/a.jsonl", "z/B.jsonl"}));
  EXPECT_EQ(found("[xz]/[!a]*"), (Names{"z/B.jsonl"}));
  EXPECT_EQ(found(".h*"), (Names{".hidden.jsonl"}));
  EXPECT_EQ(found("x/.dot/**/*.jsonl"), (Names{"x/.dot/a.jsonl"}));
  EXPECT_EQ(found("x/y/c[1].jsonl"), (Names{"x/y/c[1].jsonl"}));
}

TEST_F(InputFilesTest, FollowsLinksAndEndsInCircles) {
  link("x", "linked");
  link("..", "x/up");
  EXPECT_EQ(found("linked/*.jsonl"), (Names{"linked/a.jsonl"}));
  const Names all = found("x/**/a.jsonl");
  EXPECT_EQ(std::ranges::count(all, "x/a.jsonl"), 1);
  EXPECT_EQ(std::ranges::count(all, "x/up/a.jsonl"), 1);
}

TEST_F(InputFilesTest, SaysWhatIsWrong) {
  make_folders(scratch_ / "only/folders");
  EXPECT_THAT(problem("none"), HasSubstr("none does not exist"));
  EXPECT_THAT(problem("none/*.jsonl"), HasSubstr("matches no file"));
  EXPECT_THAT(problem("q*"), HasSubstr("matches no file"));
  EXPECT_THAT(problem("only/*"), HasSubstr("matches folders only"));
  EXPECT_THAT(problem("x"), HasSubstr("is a folder; name its files"));
  for (const char* pattern : {"**.jsonl", "x/**.jsonl", "x**/a.jsonl", "x/a**"})
    EXPECT_THAT(problem(pattern), HasSubstr("component of its own")) << pattern;
}

TEST_F(InputFilesTest, NamesALinkThatLeadsNowhere) {
  link("gone.jsonl", "x/b.jsonl");
  for (const char* pattern : {"x/b.jsonl", "x/*.jsonl", "**/*.jsonl", "x/**"})
    EXPECT_THAT(problem(pattern), HasSubstr("x/b.jsonl is a link to gone.jsonl, which does not exist"))
        << pattern;
  EXPECT_EQ(found("z/*"), (Names{"z/B.jsonl"}));
  std::filesystem::remove(scratch_ / "x/b.jsonl");
  link("gone", "shard");
  for (const char* pattern : {"shard/*.jsonl", "s*/*.jsonl", "*/B.jsonl", "**/B.jsonl"})
    EXPECT_THAT(problem(pattern), HasSubstr("shard is a link to gone, which does not exist")) << pattern;
}

TEST_F(InputFilesTest, RefusesPipesAndDevices) {
  ASSERT_EQ(::mkfifo((scratch_ / "x/pipe.jsonl").c_str(), 0600), 0);
  for (const char* pattern : {"x/pipe.jsonl", "x/*.jsonl", "**/pipe*"})
    EXPECT_THAT(problem(pattern), HasSubstr("pipe.jsonl is a pipe")) << pattern;
  EXPECT_THAT(match_files("/dev/null").problem, HasSubstr("device"));
  EXPECT_THAT(match_files("-").problem, HasSubstr("standard input"));
  EXPECT_EQ(input_problem(scratch_ / "a.jsonl"), "");
}

}  // namespace
}  // namespace rocket
