#include "pipeline/system_comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "pipeline/run_tables.h"
#include "store/hdf5.h"

namespace rocket {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

StoredEvaluation evaluation_of(std::vector<std::string> systems, std::int64_t items,
                               std::vector<std::uint8_t> correct, std::vector<std::string> golds = {}) {
  StoredEvaluation evaluation;
  evaluation.systems = std::move(systems);
  evaluation.items = items;
  evaluation.correct = std::move(correct);
  evaluation.golds = std::move(golds);
  return evaluation;
}

template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
  return "";
}

TEST(PairedAnswersOfRuns, TheExpertIsFirst) {
  const PairedAnswers answers = paired_answers({{"run", evaluation_of({"base", "expert"}, 2, {0, 0, 1, 0})}});
  EXPECT_THAT(answers.systems, ElementsAre("expert", "base"));
  EXPECT_THAT(answers.correct, ElementsAre(1, 0, 0, 0));
  EXPECT_EQ(answers.runs, 1);
}

TEST(PairedAnswersOfRuns, OnlyWhatAllRunsHaveIsCompared) {
  const PairedAnswers answers =
      paired_answers({{"one", evaluation_of({"base", "expert:a", "expert"}, 1, {0, 1, 1})},
                      {"two", evaluation_of({"expert:b", "expert", "base"}, 1, {1, 0, 1})}});
  EXPECT_THAT(answers.systems, ElementsAre("expert", "base"));
  EXPECT_THAT(answers.correct, ElementsAre(1, 0, 0, 1));
  EXPECT_EQ(answers.runs, 2);
}

TEST(PairedAnswersOfRuns, DifferentItemsAreRefused) {
  const EvaluatedRun one{"one", evaluation_of({"expert"}, 2, {0, 1}, {"A", "B"})};
  EXPECT_THAT(refusal([&] {
                paired_answers({one, {"two", evaluation_of({"expert"}, 1, {0})}});
              }),
              HasSubstr("one was evaluated on 2 items and two on 1"));
  EXPECT_THAT(refusal([&] {
                paired_answers({one, {"two", evaluation_of({"expert"}, 2, {0, 1}, {"A", "C"})}});
              }),
              HasSubstr("item 1 has the gold answer 'B' in one and 'C' in two"));
  EXPECT_EQ(refusal([&] { paired_answers({one, {"old", evaluation_of({"expert"}, 2, {0, 1})}}); }), "");
  EXPECT_THAT(refusal([] { paired_answers({}); }), HasSubstr("no run"));
}

TEST(ComparisonTable, OneSystemAloneIsRefused) {
  const auto alone = paired_answers({{"run", evaluation_of({"expert"}, 2, {0, 1})}});
  EXPECT_THAT(refusal([&] { comparison_table(alone); }), HasSubstr("expert alone was evaluated"));
  const auto none = paired_answers({{"run", evaluation_of({"a", "b"}, 0, {})}});
  EXPECT_THAT(refusal([&] { comparison_table(none); }), HasSubstr("0 items"));
}

TEST(ComparisonTable, OfAFileOfAnEarlierVersion) {
  const fs::path root = fs::temp_directory_path() / fmt::format("rocket-comparison-{}", ::getpid());
  make_folders(root);
  std::vector<std::uint8_t> correct(40);
  std::fill(correct.begin() + 20, correct.end(), 1);
  H5Writer file(root / "evaluate.h5");
  file.write_strings("system", std::vector<std::string>{"base", "expert"}, {2});
  file.write("item", std::vector<std::int64_t>(20));
  file.write("correct", correct, {2, 20});
  file.write_strings("generation", std::vector<std::string>(40, "A"), {2, 20});
  file.commit();
  const auto rows = std::get<Table>(run_table(RunDirectory(root), "comparison")).rows;
  const auto systems = std::get<Table>(run_table(RunDirectory(root), "evaluation")).rows;
  remove_tree(root);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0][0], "expert");
  EXPECT_EQ(rows[0][1], "base");
  EXPECT_EQ(rows[0][2], 1.0);
  EXPECT_NEAR(rows[0][7].get<double>(), std::pow(0.5, 19), 1e-12);
  EXPECT_EQ(rows[0][9], true);
  EXPECT_EQ(systems[1][8], "base") << "the expert is better than it";
  EXPECT_TRUE(systems[0][8].is_null());
  EXPECT_TRUE(systems[0][9].is_null()) << "it kept no tokens";
}

}  // namespace
}  // namespace rocket
