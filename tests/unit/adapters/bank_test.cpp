#include "adapters/bank.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "unit/adapters/support.h"

namespace rocket {
namespace {

using test::kModules;
using testing::ElementsAre;
using testing::HasSubstr;

class BankTest : public testing::Test {
 protected:
  void add(const std::string& path, std::int64_t lora_r = 2) {
    test::NamedTensors tensors;
    test::add_pair(tensors, kModules[0], lora_r);
    test::write_peft(folder.path() / path, tensors);
  }
  std::vector<std::string> names(const std::vector<std::filesystem::path>& paths,
                                 const std::vector<std::string>& exclude = {}) {
    std::vector<std::string> result;
    for (const BankEntry& entry : list_bank(paths, exclude)) result.push_back(entry.name);
    return result;
  }
  Bank bank(std::int64_t memory) {
    return Bank(list_bank({folder.path() / "bank"}, {}), kModules, at::kFloat, at::kCPU, memory);
  }

  test::TemporaryFolder folder;
};

TEST_F(BankTest, ListsAdapterFoldersInByteOrder) {
  for (const char* name : {"bank/b", "bank/a-2", "bank/a", "bank/Z"}) add(name);
  std::ofstream(folder.path() / "bank/README.md") << "text";
  std::filesystem::create_directories(folder.path() / "bank/.cache/x");
  add("elsewhere/c");
  EXPECT_THAT(names({folder.path() / "bank"}), ElementsAre("Z", "a", "a-2", "b"));
  EXPECT_THAT(names({folder.path() / "bank/", folder.path() / "elsewhere/c/"}, {"a"}),
              ElementsAre("Z", "a-2", "b", "c"));
}

TEST_F(BankTest, RefusesWhatIsNoBank) {
  add("bank/a");
  add("other/a");
  const auto refuse = [&](std::vector<std::filesystem::path> paths, std::vector<std::string> exclude,
                          ExitCode code, const char* text) {
    const auto [got, message] = test::error_of([&] { list_bank(paths, exclude); });
    EXPECT_EQ(got, code) << message;
    EXPECT_THAT(message, HasSubstr(text));
  };
  refuse({folder.path() / "bank", folder.path() / "bank/a/"}, {}, ExitCode::data, "is listed twice");
  refuse({folder.path() / "bank"}, {"x"}, ExitCode::config, "there is no adapter 'x'");
  refuse({folder.path() / "bank"}, {"a"}, ExitCode::data, "there is no adapter");
  refuse({folder.path() / "absent"}, {}, ExitCode::config, "no such folder");
  std::filesystem::create_directories(folder.path() / "bank/empty");
  refuse({folder.path() / "bank"}, {}, ExitCode::data, "bank/empty: no adapter");
  std::filesystem::create_directories(folder.path() / "bank/more");
  refuse({folder.path() / "bank"}, {}, ExitCode::data, "bank.exclude: [empty, more]");
}

TEST_F(BankTest, FoldersOfOneNameTakeTheirParentsNames) {
  for (const char* path :
       {"sql/checkpoint-500", "chat/checkpoint-500", "x/sql/checkpoint-500", "job", "y/job-2"})
    add(path);
  const auto at = [&](const char* path) { return folder.path() / path; };
  EXPECT_THAT(names({at("sql/checkpoint-500"), at("chat/checkpoint-500/"), at("job"), at("y")}),
              ElementsAre("chat--checkpoint-500", "job", "job-2", "sql--checkpoint-500"));
  const std::string scratch = folder.path().filename().string();
  EXPECT_THAT(names({at("sql/checkpoint-500"), at("x/sql")}, {"x--sql--checkpoint-500"}),
              ElementsAre(scratch + "--sql--checkpoint-500"));
}

/// HUB/models--ORG--NAME/snapshots/REVISION, with files that are links.
TEST_F(BankTest, ReadsACacheOfHuggingFace) {
  const auto download = [&](const std::string& repository, const std::string& revision) {
    add("blobs/" + repository + revision);
    const auto snapshot = folder.path() / "hub" / repository / "snapshots" / revision;
    std::filesystem::create_directories(snapshot);
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
      std::filesystem::create_symlink(folder.path() / "blobs" / (repository + revision) / file,
                                      snapshot / file);
  };
  download("models--org--home", "0a1b");
  download("models--org--price", "1111");
  download("models--price", "1111");
  std::filesystem::create_directories(folder.path() / "hub/.locks");
  const auto hub = folder.path() / "hub";
  EXPECT_THAT(names({hub}), ElementsAre("home", "hub--price", "org--price"));
  EXPECT_THAT(names({hub / "models--org--home"}), ElementsAre("home"));
  EXPECT_THAT(names({hub / "models--org--home/snapshots/0a1b"}), ElementsAre("home"));
  download("models--org--home", "2222");
  EXPECT_THAT(test::error_of([&] { list_bank({hub}, {}); }).second,
              HasSubstr("models--org--home: 2 snapshots (0a1b, 2222), and refs/main names none"));
  std::filesystem::create_directories(hub / "models--org--home/refs");
  std::ofstream(hub / "models--org--home/refs/main") << "2222";
  EXPECT_EQ(list_bank({hub}, {}).front().folder, hub / "models--org--home/snapshots/2222");
  std::filesystem::remove(folder.path() / "blobs/models--price1111/adapter_config.json");
  EXPECT_THAT(test::error_of([&] { list_bank({hub}, {}); }).second,
              HasSubstr("adapter_config.json is a link to"));
}

TEST_F(BankTest, ADanglingLinkIsNotSkipped) {
  add("bank/a");
  std::filesystem::create_symlink("../gone", folder.path() / "bank/b");
  const auto [code, message] = test::error_of([&] { list_bank({folder.path() / "bank"}, {}); });
  EXPECT_EQ(code, ExitCode::data);
  EXPECT_THAT(message, testing::AllOf(HasSubstr("bank/b: a link to ../gone, which is not there"),
                                      HasSubstr("bank.exclude: [b]")));
  EXPECT_THAT(names({folder.path() / "bank"}, {"b"}), ElementsAre("a"));
  EXPECT_EQ(test::error_of([&] { list_bank({folder.path() / "bank/b"}, {}); }).first, ExitCode::config);
}

TEST_F(BankTest, SaysWhatAFolderHoldsInstead) {
  add("bank/a");
  const auto bank = folder.path() / "bank";
  const auto refusal = [&] { return test::error_of([&] { list_bank({bank}, {}); }).second; };
  const auto advice = [&](const std::string& name, const std::string& path) {
    return fmt::format("bank.adapters: [{}, {}] and bank.exclude: [{}]", bank.string(),
                       (bank / path).string(), name);
  };
  add("bank/home/checkpoint-1000");
  add("bank/home/checkpoint-500");
  EXPECT_THAT(refusal(),
              testing::AllOf(HasSubstr("only checkpoints of a training (checkpoint-1000, checkpoint-500)"),
                             HasSubstr(advice("home", "home/checkpoint-1000"))));
  EXPECT_THAT(names({bank, bank / "home/checkpoint-1000"}, {"home"}), ElementsAre("a", "checkpoint-1000"));
  std::filesystem::remove_all(bank / "home");
  add("bank/multi/default");
  add("bank/multi/reward");
  EXPECT_THAT(refusal(), testing::AllOf(HasSubstr("a folder of 2 adapters (default, reward)"),
                                        HasSubstr(advice("multi", "multi"))));
  EXPECT_THAT(names({bank, bank / "multi"}, {"multi"}), ElementsAre("a", "default", "reward"));
  std::filesystem::remove_all(bank / "multi");
  std::filesystem::create_directories(bank / "mlx");
  std::ofstream(bank / "mlx/adapters.safetensors") << "x";
  EXPECT_THAT(refusal(), HasSubstr("weights of mlx-lm"));
  std::ofstream(bank / "mlx/config.json") << "{}";
  EXPECT_THAT(refusal(), HasSubstr("it is a model"));
}

TEST_F(BankTest, KeepsWithinItsMemory) {
  for (const char* name : {"bank/a", "bank/b", "bank/c"}) add(name);
  const std::int64_t one = 4 * (2 * 6 + 8 * 2);
  Bank two = bank(2 * one);
  const auto a = two.get(0);
  const std::weak_ptr<const LoraAdapter> b = two.get(1);
  EXPECT_EQ(two.get(0), a);
  EXPECT_FALSE(b.expired());
  const std::weak_ptr<const LoraAdapter> c = two.get(2);
  EXPECT_TRUE(b.expired()) << "the least recently used goes";
  EXPECT_FALSE(c.expired());
  EXPECT_EQ(two.get(0), a);
  two.get(1);
  EXPECT_TRUE(c.expired());
}

TEST_F(BankTest, AnAdapterInUseOutlivesTheBudget) {
  add("bank/a");
  add("bank/b");
  Bank tiny = bank(1);
  const auto a = tiny.get(0);
  tiny.get(1);
  EXPECT_EQ(a->weights.size(), 1u);
  EXPECT_EQ(tiny.get(0)->name, "a");
}

TEST_F(BankTest, ChecksAllAndTellsAll) {
  for (const char* name : {"bank/a", "bank/d"}) add(name);
  const std::int64_t one = 4 * (2 * 6 + 8 * 2);
  const std::vector<AdapterFacts> facts = bank(1).check_all(1 << 20);
  ASSERT_EQ(facts.size(), 2u);
  EXPECT_EQ(facts[1].bytes, one);
  EXPECT_EQ(facts[1].stored_bytes, one);
  add("bank/b", 3);
  test::write_peft(folder.path() / "bank/c", {{test::a_name(kModules[0].name), at::full({2, 6}, NAN)},
                                              {test::b_name(kModules[0].name), at::ones({8, 2})}});
  const auto refusal = [&](std::int64_t values_up_to) {
    const auto [code, message] = test::error_of([&] { bank(1).check_all(values_up_to); });
    EXPECT_EQ(code, ExitCode::data);
    return message;
  };
  EXPECT_THAT(refusal(3 * one),
              testing::MatchesRegex("adapter 'b': [^\n]*expected[^\n]*\nadapter 'c': [^\n]*not "
                                    "finite[^\n]*\n[^\n]*bank.exclude: .b, c.*"));
  EXPECT_THAT(refusal(3 * one - 1), testing::MatchesRegex("adapter 'b': [^\n]*\n[^\n]*bank.exclude: .b.*"))
      << "values of a bank that is too large are not read";
}

TEST_F(BankTest, FindsCopiesAndAdaptersWithoutEffect) {
  for (const char* name : {"bank/a", "bank/c"}) add(name);
  std::filesystem::copy(folder.path() / "bank/a", folder.path() / "bank/b");
  test::write_peft(folder.path() / "bank/d", {{test::a_name(kModules[0].name), at::ones({2, 6})},
                                              {test::b_name(kModules[0].name), at::zeros({8, 2})}});
  const std::vector<AdapterFacts> facts = bank(1).check_all(1 << 20);
  std::vector<bool> effects;
  for (const AdapterFacts& adapter : facts) effects.push_back(adapter.effect.value());
  EXPECT_THAT(effects, ElementsAre(true, true, true, false));
  EXPECT_THAT(first_copies(facts), ElementsAre(-1, 0, -1, -1));
  for (const AdapterFacts& adapter : bank(1).check_all(1)) EXPECT_FALSE(adapter.effect) << "not read";
}

TEST(NoteOnBases, CountsThoseThatNameAnother) {
  using Facts = std::vector<AdapterFacts>;
  EXPECT_EQ(note_on_bases(Facts{{1, 1, "org/base", {}, {}}, {1, 1, "", {}, {}}, {1, 1, "../base/", {}, {}}},
                          "/data/base/"),
            "");
  EXPECT_EQ(note_on_bases(Facts{{1, 1, "org/other", {}, {}}, {1, 1, "base", {}, {}}}, "/data/base"),
            "1 of 2 adapters name another base than base (all of them: 'org/other'); their shapes fit it");
  EXPECT_THAT(note_on_bases(Facts{{1, 1, "x", {}, {}}, {1, 1, "y", {}, {}}, {1, 1, "y", {}, {}}}, "base"),
              HasSubstr("3 of 3 adapters name another base than base (2 of them: 'y')"));
}

/// Waits until `done` or for long enough to call it never.
bool eventually(const std::function<bool()>& done) {
  for (int i = 0; i < 1000 && !done(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return done();
}

TEST_F(BankTest, ReadsAheadAndOnce) {
  for (const char* name : {"bank/a", "bank/b", "bank/c"}) add(name);
  Bank all = bank(1 << 20);
  all.read_ahead({2, 0});
  EXPECT_TRUE(eventually([&] { return all.resident() == std::vector<std::int64_t>{0, 2}; }));
  std::filesystem::remove_all(folder.path() / "bank");  // what is asked for now must have been read before
  EXPECT_EQ(all.get(0)->name, "a");
  EXPECT_EQ(all.get(2)->name, "c");
  EXPECT_EQ(all.get(0), all.get(0));
  EXPECT_THROW(all.get(1), Error);
}

TEST_F(BankTest, ReadsAheadAsFarAsTheBudgetGoes) {
  for (const char* name : {"bank/a", "bank/b", "bank/c", "bank/d"}) add(name);
  const std::int64_t one = 4 * (2 * 6 + 8 * 2);
  using Indices = std::vector<std::int64_t>;
  Bank two = bank(2 * one);
  auto a = two.get(0);
  two.read_ahead({1, 2, 3});
  EXPECT_TRUE(eventually([&] { return two.resident() == Indices{0, 1}; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  EXPECT_EQ(two.resident(), (Indices{0, 1})) << "neither what is in use goes nor what is awaited";
  a.reset();
  EXPECT_TRUE(eventually([&] { return two.resident() == Indices{1, 2}; })) << "the released one makes room";
  two.get(1);
  EXPECT_TRUE(eventually([&] { return two.resident() == Indices{2, 3}; }));
  two.get(0);
  EXPECT_EQ(two.resident().size(), 2u) << "one that nobody expected takes the place of an awaited one";
}

TEST_F(BankTest, AFailureAheadIsThrownByTheGetThatAsks) {
  add("bank/a");
  add("bank/b", 3);
  Bank one = bank(1 << 20);
  std::ofstream(folder.path() / "bank/b/adapter_model.safetensors") << "broken";
  one.read_ahead({1, 0});
  EXPECT_TRUE(eventually([&] { return one.resident() == std::vector<std::int64_t>{0}; }));
  EXPECT_EQ(one.get(0)->name, "a");
  for (int i = 0; i < 2; ++i) {
    const auto [code, message] = test::error_of([&] { one.get(1); });
    EXPECT_EQ(code, ExitCode::data);
    EXPECT_THAT(message, HasSubstr("adapter 'b': "));
  }
}

TEST_F(BankTest, ServesManyThreads) {
  for (const char* name : {"a", "b", "c", "d", "e"}) add(std::string("bank/") + name);
  Bank small = bank(2 * 4 * (2 * 6 + 8 * 2));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        if (t == 0 && i % 3 == 0) small.read_ahead({i % 5, (i + 1) % 5, (i + 2) % 5});
        const std::int64_t wanted = (i * (t + 1) + t) % 5;
        if (small.get(wanted)->name != small.entries()[static_cast<std::size_t>(wanted)].name) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(small.resident().size(), 2u);
}

}  // namespace
}  // namespace rocket
