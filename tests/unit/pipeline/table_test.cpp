#include "pipeline/table.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace rocket {
namespace {

Table sample() {
  return {{"name", "value"}, {{"plain", 1.5}, {"quote \" comma ,", nullptr}, {"line\nend", 1234567.0}}};
}

TEST(Table, TextAlignsNumbersToTheRightAndKeepsToOneLineARow) {
  EXPECT_EQ(render(sample(), TableFormat::text),
            "name                 value\n"
            "plain               1.5000\n"
            "quote \" comma ,          -\n"
            "line\\nend        1.235e+06\n");
}

TEST(Table, TextCutsLongTextsAtCharacters) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\u00e9";
  const std::string shown = render(Table{{"t"}, {{text}}}, TableFormat::text);
  EXPECT_NE(shown.find("..."), std::string::npos);
  EXPECT_EQ(shown.find("\xc3..."), std::string::npos);
}

TEST(Table, CsvQuotesAfterRfc4180) {
  EXPECT_EQ(render(sample(), TableFormat::csv),
            "name,value\nplain,1.5\n\"quote \"\" comma ,\",\n\"line\nend\",1234567.0\n");
}

TEST(Table, JsonIsAListOfObjectsInColumnOrder) {
  const auto parsed = nlohmann::ordered_json::parse(render(sample(), TableFormat::json));
  ASSERT_EQ(parsed.size(), 3u);
  EXPECT_EQ(parsed[1].begin().key(), "name");
  EXPECT_TRUE(parsed[1]["value"].is_null());
}

TEST(Table, AnObjectShowsALongListOfTextsWholeOneALine) {
  const std::string note(100, 'n');
  const nlohmann::ordered_json object = {
      {"short", {"a", "b"}}, {"notes", {note, "second\nline"}}, {"none", nlohmann::json::array()}};
  EXPECT_EQ(render(object, TableFormat::text),
            "short             [\"a\",\"b\"]\n"
            "notes             " +
                note +
                "\n"
                "                  second\\nline\n"
                "none              []\n");
}

TEST(Table, AnEmptyTableIsAnEmptyList) {
  EXPECT_EQ(render(Table{{"a"}, {}}, TableFormat::json), "[]\n");
  EXPECT_EQ(render(Table{{"a"}, {}}, TableFormat::csv), "a\n");
}

TEST(Table, UnknownFormatIsAUsageError) {
  try {
    table_format("xml");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
  }
}

}  // namespace
}  // namespace rocket
