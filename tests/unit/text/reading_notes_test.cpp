#include "text/reading_notes.h"

#include <gmock/gmock.h>

#include "formats/parquet.h"
#include "text/corpus.h"
#include "unit/base/scratch.h"
#include "unit/formats/save_text.h"

namespace rocket {
namespace {

using ::rocket::testing::Scratch;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kPlain = R"({"instruction":"a","input":"b","output":"c"})";

class ReadingNotesTest : public ::testing::Test {
 protected:
  std::filesystem::path save(const std::string& name, const std::string& text) {
    rocket::testing::save_text(scratch_ / name, text);
    return scratch_ / name;
  }
  static std::vector<std::string> warnings(std::vector<std::filesystem::path> files, const FieldNames& fields,
                                           const std::vector<std::string>& unused = {}) {
    CorpusReader corpus(std::move(files), fields, OnError::stop, {}, Outputs::optional);
    for (Record record; corpus.next(record);) {
    }
    return corpus.notes().warnings("corpus.fields", unused);
  }
  Scratch scratch_;
};

TEST_F(ReadingNotesTest, AMappedFieldThatNoRecordHasIsNamedWithThoseThatTheyHave) {
  const auto file = save("a.jsonl", kPlain + "\n" + kPlain);
  EXPECT_THAT(warnings({file}, {}), IsEmpty());
  EXPECT_THAT(warnings({file}, {{"input", "input"}, {"system", ""}}), IsEmpty());
  for (const char* ours :
       {"input", "output", "system", "history", "rationale", "answer", "tests", "messages"})
    EXPECT_THAT(
        warnings({file}, {{ours, "contxt"}}),
        ElementsAre(fmt::format("corpus.fields: {} is mapped to 'contxt', which none of 2 records has; "
                                "they have: 'instruction', 'input', 'output'",
                                ours)));
  EXPECT_THAT(warnings({file}, {{"answer", "gold"}}, {"answer"}), IsEmpty());
}

TEST_F(ReadingNotesTest, OneRecordOfAnyFileThatHasTheFieldIsEnough) {
  const auto plain = save("a.jsonl", kPlain);
  const auto nested = save("b.jsonl", R"({"instruction":"a","meta":{"more":null},"output":"c"})");
  EXPECT_THAT(warnings({plain, nested}, {{"input", "meta.more"}}), IsEmpty());
  EXPECT_EQ(warnings({plain, nested}, {{"input", "meta.les"}}).size(), 1u);
}

TEST_F(ReadingNotesTest, ReasoningAndToolsAreCountedForEachFile) {
  const std::string turns =
      R"([{"role":"user","content":"q"},{"role":"assistant","content":"a","reasoning_content":"hm"},)"
      R"({"role":"user","content":"q"},{"role":"assistant","content":"a","reasoning_content":""},)"
      R"({"role":"user","content":"q"},{"role":"assistant","content":"a","reasoning_content":"hm","thinking":"x"}])";
  const auto chats = save("a.jsonl", R"({"tools":[{"type":"function"}],"messages":)" + turns + "}\n" +
                                         R"({"tools":[],"functions":null,"messages":)" + turns + "}");
  const auto plain = save("b.jsonl", R"({"instruction":"a","output":"b","tools":"[...]"})");
  const std::string end = ". Models are trained and asked without them";
  EXPECT_THAT(
      warnings({chats, plain}, {}),
      ElementsAre(
          chats.string() +
              ": not read: 'reasoning_content' of 4 turns, 'thinking' of 2 turns, 'tools' of 1 records" + end,
          plain.string() + ": not read: 'tools' of 1 records" + end));
  EXPECT_THAT(warnings({plain}, {{"system", "tools"}}), IsEmpty()) << "it is read";
}

TEST_F(ReadingNotesTest, NumbersThatBecomeTextsAreCountedForEachFile) {
  const auto plain = save("a.jsonl", R"({"instruction":1,"output":2,"answer":3,"id":4})"
                                     "\n"
                                     R"({"instruction":"a","input":null,"output":2.5,"system":6})");
  const auto chats = save(
      "b.jsonl", R"({"output":1,"messages":[{"role":"user","content":1},{"role":"assistant","content":2}]})");
  const std::string what = ": numbers where a text is meant, read as they are written: ";
  EXPECT_THAT(warnings({plain, chats}, {}),
              ElementsAre(plain.string() + what + "'instruction' of 1, 'output' of 2, 'system' of 1",
                          chats.string() + what + "'content' of 2"));
  EXPECT_THAT(warnings({plain}, {{"input", "id"}, {"system", ""}}),
              ElementsAre(plain.string() + what + "'id' of 1, 'instruction' of 1, 'output' of 2"));
}

TEST_F(ReadingNotesTest, ColumnsThatAreNotReadAreNamed) {
  ReadingNotes notes(FieldNames{{"input", "contxt"}});
  notes.take_columns("a.parquet", {"question", "tools"});
  notes.take("a.parquet", parse_json_value(kPlain, "a"), nullptr);
  EXPECT_THAT(
      notes.warnings("task.fields"),
      ElementsAre("task.fields: input is mapped to 'contxt', which none of 1 records has; they have: "
                  "'question', 'tools', 'instruction', 'input', 'output'",
                  "a.parquet: not read: the columns 'tools'. Models are trained and asked without them"));
  if (!has_parquet()) GTEST_SKIP() << "built without Apache Arrow (ROCKET_PARQUET)";
  const auto found = warnings({"tests/data/formats/parquet/answers.parquet"}, {{"input", "contxt"}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0], ::testing::HasSubstr("they have: 'instruction', 'output', 'ints', "));
}

class NamedFilesTest : public ReadingNotesTest {};

TEST_F(NamedFilesTest, AFileThatIsNamedAgainIsReadOnceAndSaid) {
  const auto a = save("a.jsonl", kPlain), b = save("b.jsonl", kPlain);
  std::filesystem::create_symlink("a.jsonl", scratch_ / "c.jsonl");
  const auto other = scratch_.folder() / "." / "b.jsonl";
  const NamedFiles named = named_files({b.string(), (scratch_ / "*.jsonl").string(), other.string()});
  EXPECT_THAT(named.files, ElementsAre(b, a));
  EXPECT_THAT(named.notes, ElementsAre(fmt::format(
                               "named more than once, read once: {}, {} (as {}), {} (as {})", b.string(),
                               a.string(), (scratch_ / "c.jsonl").string(), b.string(), other.string())));
  EXPECT_THAT(named_files({a.string(), b.string()}).notes, IsEmpty());
}

TEST_F(NamedFilesTest, FoldersThatAPatternMatchesAreNamed) {
  save("a.jsonl", kPlain);
  for (const char* folder : {"empty", "x/y"}) std::filesystem::create_directories(scratch_ / folder);
  save("x/y/b.jsonl", kPlain);
  save("x/c.jsonl", kPlain);
  const auto notes = [&](const std::string& pattern) {
    return named_files({(scratch_ / pattern).string()}).notes;
  };
  EXPECT_THAT(notes("*"),
              ElementsAre(fmt::format("{} also matches 1 folder, whose files are not read: {}; {} names "
                                      "those, too",
                                      (scratch_ / "*").string(), (scratch_ / "x").string(),
                                      (scratch_ / "*/*").string())));
  EXPECT_THAT(notes("**/*"), IsEmpty()) << "it goes into them";
  EXPECT_THAT(notes("**"), IsEmpty());
  EXPECT_THAT(notes("*.jsonl"), IsEmpty());
  EXPECT_EQ(notes("x/*").size(), 1u);
}

}  // namespace
}  // namespace rocket
