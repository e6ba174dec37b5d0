#include "config/sweep.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "scratch.h"

namespace rocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class SweepTest : public Scratch {
 protected:
  Sweep load(const std::string& body) {
    base_ = write("base.yaml", "run: unused\ntask: {k: 50}\n");
    return load_sweep(write("s.yaml", "config: " + base_ + "\nruns: out\n" + body));
  }

  std::string refusal(const std::string& body) {
    try {
      load(body);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config);
      std::string message = e.what();
      const std::string folder = folder_.string() + "/";
      for (std::size_t at; (at = message.find(folder)) != std::string::npos;)
        message.erase(at, folder.size());
      return message;
    }
    return "accepted";
  }

  std::vector<std::string> names(const Sweep& sweep) {
    std::vector<std::string> all;
    for (const SweepPoint& point : sweep.points) all.push_back(point.name);
    return all;
  }

  std::string base_;
};

TEST_F(SweepTest, SaysWhichJobRunsAtItsPoints) {
  EXPECT_EQ(load("grid: {seed: [0, 1]}\n").job, "run");
  EXPECT_EQ(load("job: train-adapter\ngrid: {seed: [0, 1]}\n").job, "train-adapter");
  EXPECT_EQ(refusal("job: score\ngrid: {seed: [0, 1]}\n"),
            "s.yaml:3: job: expected run or train-adapter, found 'score'");
}

TEST_F(SweepTest, GridIsAProductInTheOrderOfTheFile) {
  const Sweep sweep = load("grid: {task.k: [1, 5], mixture.router: [arrow], seed: [0, 1]}\n");
  EXPECT_THAT(names(sweep),
              ElementsAre("task.k=1,seed=0", "task.k=1,seed=1", "task.k=5,seed=0", "task.k=5,seed=1"));
  EXPECT_THAT(sweep.varying, ElementsAre("task.k", "seed"));
  EXPECT_THAT(sweep.points[2].settings,
              ElementsAre(Pair("task.k", "5"), Pair("mixture.router", "arrow"), Pair("seed", "0")));
  const RunConfig c = load_point(sweep, sweep.points[2]);
  EXPECT_EQ(c.run, "out/task.k=5,seed=0");
  EXPECT_EQ(c.task.k, 5);
  EXPECT_EQ(c.mixture.router, "arrow");
  EXPECT_EQ(load_point(sweep, sweep.points[2], {"task.k=9"}).task.k, 9);
}

TEST_F(SweepTest, NamesAreFitForFolders) {
  EXPECT_THAT(
      names(load("grid:\n  experts.signals:\n    - [perplexity, accuracy]\n    - []\n    - [accuracy]\n")),
      ElementsAre("experts.signals=perplexity+accuracy", "experts.signals=none", "experts.signals=accuracy"));
  EXPECT_THAT(names(load("grid: {task.shots: [a/b.jsonl, 'c d: e']}\n")),
              ElementsAre("task.shots=a-b.jsonl", "task.shots=cd-e"));
  EXPECT_THAT(names(load("grid: {task.k: [5]}\n")), ElementsAre("task.k=5"));
  const std::string words(300, 'x');
  for (const std::string& name : names(load("grid: {task.name: [" + words + "1, " + words + "2]}\n"))) {
    EXPECT_LT(name.size(), 256u);
  }
}

TEST_F(SweepTest, ValuesKeepTheirMeaning) {
  const Sweep sweep =
      load("grid:\n  encoder.prefix: ['5', 'a: b', '', \"x\\ny\"]\n  bank.exclude: [['1', 'b, c'], []]\n");
  const char* prefixes[] = {"5", "a: b", "", "x\ny"};
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    const RunConfig c = load_point(sweep, sweep.points[i]);
    EXPECT_EQ(c.encoder.prefix, prefixes[i / 2]);
    EXPECT_EQ(c.bank.exclude,
              i % 2 == 0 ? (std::vector<std::string>{"1", "b, c"}) : std::vector<std::string>());
  }
}

TEST_F(SweepTest, ExplicitPoints) {
  const Sweep sweep =
      load("points:\n  - {name: paper, set: {}}\n  - {set: {task.k: 5}}\n  - {name: b, set: {seed: 2}}\n");
  EXPECT_THAT(names(sweep), ElementsAre("paper", "task.k=5", "b"));
  EXPECT_THAT(sweep.varying, ElementsAre("task.k", "seed"));
  EXPECT_EQ(load_point(sweep, sweep.points[0]).task.k, 50);
}

TEST_F(SweepTest, EverythingThatIsWrongIsToldAtOnce) {
  EXPECT_EQ(
      refusal(
          "grid:\n  task.kk: [1]\n  task.k: [1, x]\n  seed: [1, 1]\n  run: [a]\n  device: []\nponts: []\n"),
      "s.yaml:4: grid.task.kk: unknown key; did you mean 'task.k'?\n"
      "s.yaml:5: task.k: expected a whole number, found the text 'x'\n"
      "s.yaml:6: grid.seed: 1 stands in the list twice\n"
      "s.yaml:7: grid.run: a sweep names the run directories itself, under its key 'runs'\n"
      "s.yaml:8: grid.device: expected a list of values, found an empty one\n"
      "s.yaml:9: ponts: unknown key; did you mean 'points'?");
}

TEST_F(SweepTest, Refused) {
  EXPECT_EQ(refusal(""), "s.yaml: a sweep has either a grid or points, and this one has neither");
  EXPECT_EQ(refusal("grid: {task.k: [1]}\npoints: [{set: {seed: 1}}]\n"),
            "s.yaml: a sweep has either a grid or points, and this one has both");
  EXPECT_THAT(refusal("points: [{set: {seed: 1}}, {name: x, set: {seed: 1}}]\n"),
              HasSubstr("0 and 1 have the same"));
  EXPECT_THAT(refusal("grid: {task.name: [a/b, a-b]}\n"), HasSubstr("are both called 'task.name=a-b'"));
  EXPECT_THAT(refusal("points: [{name: ../x, set: {seed: 1}}]\n"),
              HasSubstr("expected the name of a folder"));
  EXPECT_THAT(refusal("points: [{nam: x}]\n"), HasSubstr("did you mean 'name'?"));
  EXPECT_THAT(refusal("points: {a: b}\n"), HasSubstr("expected a list of points"));
  EXPECT_THAT(refusal("grid: [a]\n"), HasSubstr("expected a mapping of keys to lists"));
  EXPECT_THAT(refusal("grid: {task.k: 5}\n"), HasSubstr("expected a list of values, found '5'"));
  const std::string file = write("t.yaml", "grid: {task.k: [1]}\n");
  EXPECT_THROW(load_sweep(file), Error);
}

TEST_F(SweepTest, APointThatCannotBeNamesItself) {
  const Sweep sweep = load("grid: {experts.count: [4, 9]}\n");
  try {
    load_point(sweep, sweep.points[1]);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(),
                HasSubstr("sweep point 'experts.count=9': --set experts.count=9: experts.count: 9 experts"));
  }
}

TEST_F(SweepTest, ASnapshotDoesNotChangeWithItsOriginals) {
  const std::string body =
      "# comment\ngrid:\n  task.answer:\n    - regex\n  task.pattern:\n    - \"a: (.*)\"\n    - 'b, #(.)'\n  "
      "  - ${X:-c}(.)\n"
      "  experts.signals: [[], [perplexity, accuracy]]\n  seed: [0, 1]\n";
  const Sweep before = load(body);
  const fs::path copy = snapshot_sweep(folder_ / "s.yaml", folder_ / "a folder");
  write("base.yaml", "run: unused\ntask: {k: 7}\n");
  write("s.yaml", "config: nowhere.yaml\nruns: elsewhere\npoints: [{set: {seed: 3}}]\n");
  const Sweep after = load_sweep(copy);
  EXPECT_EQ(after.runs, "out");
  ASSERT_EQ(names(after), names(before));
  for (std::size_t i = 0; i < before.points.size(); ++i) {
    const RunConfig point = load_point(after, after.points[i]);
    EXPECT_EQ(point.task.k, 50);
    write("base.yaml", "run: unused\ntask: {k: 50}\n");
    EXPECT_EQ(point.task.pattern, load_point(before, before.points[i]).task.pattern);
    EXPECT_EQ(point.experts.signals, load_point(before, before.points[i]).experts.signals);
  }
  EXPECT_EQ(copy.parent_path(), folder_ / "a folder");
  EXPECT_EQ(fs::status(copy).permissions() & fs::perms::owner_write, fs::perms::none);
  load(body);
  EXPECT_EQ(snapshot_sweep(folder_ / "s.yaml", folder_ / "a folder"), copy) << "named by what it holds";
  write("base.yaml", "run: unused\ntask: {k: 51}\n");
  EXPECT_NE(snapshot_sweep(folder_ / "s.yaml", folder_ / "a folder"), copy);
}

TEST_F(SweepTest, ASnapshotHoldsTheTaskThatItsConfigurationUses) {
  const std::string task = write("task.yaml", "name: one\nprompt: \"{question}?\"\ndelimiter: \": #\"\n");
  load("grid: {seed: [0]}\n");
  write("base.yaml", fmt::format("run: unused\ntask: {{use: '{}', k: 7}}\nseed: 3\n", task));
  const Sweep after = load_sweep(snapshot_sweep(folder_ / "s.yaml", folder_ / "a folder"));
  write("task.yaml", "name: another\n");
  const RunConfig point = load_point(after, after.points[0]);
  EXPECT_EQ(point.task.name, "one");
  EXPECT_EQ(point.task.prompt, "{question}?");
  EXPECT_EQ(point.task.delimiter, ": #");
  EXPECT_EQ(point.task.k, 7);
}

TEST_F(SweepTest, ASnapshotOfNothingIsRefused) {
  const std::string sweep = write("s.yaml", "config: nowhere.yaml\nruns: out\ngrid: {seed: [0]}\n");
  EXPECT_THROW(snapshot_sweep(sweep, folder_ / "copies"), Error);
  EXPECT_FALSE(fs::exists(folder_ / "copies"));
}

}  // namespace
}  // namespace rocket
