#include <gmock/gmock.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/files.h"
#include "config/run_config.h"
#include "config/settings.h"
#include "scratch.h"

namespace rocket {
namespace {

using Print = Scratch;

std::string everything(const RunConfig& config) {
  std::vector<std::string> keys;
  for (const Setting& setting : settings()) keys.push_back(setting.key);
  return canonical(config, keys);
}

TEST(Defaults, FileEqualsTheCode) {
  if (::getenv("ROCKET_WRITE_DEFAULTS") != nullptr) write_file("configs/defaults.yaml", defaults_yaml());
  EXPECT_EQ(read_file("configs/defaults.yaml"), defaults_yaml())
      << "after a change of settings: ROCKET_WRITE_DEFAULTS=1 tools/test -R unit.config";
}

TEST(Defaults, LoadAsTheDefaults) {
  RunConfig expected;
  expected.run = std::string("r");
  EXPECT_EQ(everything(load_config("configs/defaults.yaml", {"run=r"})), everything(expected));
}

TEST_F(Print, ResolvedFormLoadsAsTheSame) {
  RunConfig config;
  config.run = "runs/${HOME}/a: b";
  config.seed = 9223372036854775807u;
  config.base.path = "no";
  config.bank.adapters.list = {"a, b", "[c]", "1", "x/y"};
  config.bank.memory.bytes = 1'500'000'001;
  config.task.pattern = "\"(\\d+)\"\n\t$";
  config.task.name = "\xc3\xa9\xf0\x9f\x98\x80 # '";
  config.task.fields = {{"input", "null"}, {"answer", "~"}};
  config.prompt.choice = {"", "{instruction}\n{input}", "${{instruction}"};
  config.encoder.prefix = "";
  config.training.learning_rate = 0.1 + 0.2;
  config.training.weight_decay = 1e22;
  config.training.clip = 5e-324;
  config.experts.signals = {};
  config.evaluation.rivals = {"each_expert"};
  const RunConfig again = load_config(write("config.yaml", to_yaml(config)), {});
  EXPECT_EQ(everything(again), everything(config));
  EXPECT_EQ(to_yaml(again), to_yaml(config));
}

TEST_F(Print, AnyTextLoadsAsTheSame) {
  std::uint64_t state = 7;
  const std::string marks = "${}[]:,#&*!|>'\"%@`-?~\\ \n\tayn0.\x01\xc2\x85";
  for (int i = 0; i < 200; ++i) {
    RunConfig config;
    config.run = std::string("r");
    std::string text;
    for (int k = 0; k < 6; ++k) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += marks[(state >> 33) % (marks.size() - 2)];
    }
    config.encoder.prefix = text;
    config.corpus.records = {text + "x"};
    const RunConfig again = load_config(write("config.yaml", to_yaml(config)), {});
    ASSERT_EQ(again.encoder.prefix, text);
    ASSERT_EQ(again.corpus.records, config.corpus.records);
  }
}

TEST(Settings, AreNamedOnce) {
  for (const Setting& setting : settings()) {
    EXPECT_FALSE(setting.comment.empty()) << setting.key;
    EXPECT_EQ(std::count_if(settings().begin(), settings().end(),
                            [&](const Setting& other) { return other.key == setting.key; }),
              1);
  }
}

TEST(Canonical, HoldsTheChosenSettings) {
  RunConfig config;
  config.task.k = 5;
  const std::vector<std::string> keys = {"task.k", "mixture", "bank.memory", "prompt.template",
                                         "task.pattern"};
  EXPECT_EQ(
      canonical(config, keys),
      R"({"bank.memory":4294967296,"mixture.router":"linear","mixture.top_k":2,"mixture.top_p":1.0,"prompt.template":"alpaca",)"
      R"("task.k":5,"task.pattern":null})");
  const std::vector<std::string> tune = {"evaluation.tune"};
  EXPECT_EQ(canonical(config, tune), "{}") << "an empty list of numbers is no setting";
  config.evaluation.tune = {0.25, 1e-5};
  EXPECT_EQ(canonical(config, tune), R"({"evaluation.tune":[0.25,1e-05]})");
  EXPECT_THROW(canonical(config, std::vector<std::string>{"task.q"}), Error);
  EXPECT_THROW(canonical(config, std::vector<std::string>{""}), Error);
}

TEST(Canonical, NamesWhatChanged) {
  RunConfig config;
  const std::vector<std::string> keys = {"task.k", "mixture", "seed"}, fewer = {"task.k", "mixture"};
  const std::string was = canonical(config, keys);
  EXPECT_TRUE(setting_changes(was, was).empty());
  config.task.k = 5;
  config.mixture.router = "arrow";
  const auto changes = setting_changes(was, canonical(config, fewer));
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].key, "mixture.router");
  EXPECT_EQ(changes[0].was, "\"linear\"");
  EXPECT_EQ(changes[0].now, "\"arrow\"");
  EXPECT_EQ(changes[1].key, "seed");
  EXPECT_EQ(changes[1].now, "");
  EXPECT_EQ(changes[2].key, "task.k");
  EXPECT_THROW(setting_changes("x", was), Error);
}

}  // namespace
}  // namespace rocket
