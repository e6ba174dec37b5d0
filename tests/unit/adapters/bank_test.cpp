#include "adapters/bank.h"

#include <gmock/gmock.h>

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
  refuse({folder.path() / "bank", folder.path() / "other"}, {}, ExitCode::data,
         "two adapters are called 'a'");
  refuse({folder.path() / "bank"}, {"x"}, ExitCode::config, "there is no adapter 'x'");
  refuse({folder.path() / "bank"}, {"a"}, ExitCode::data, "there is no adapter");
  refuse({folder.path() / "absent"}, {}, ExitCode::config, "no such folder");
  std::filesystem::create_directories(folder.path() / "bank/empty");
  refuse({folder.path() / "bank"}, {}, ExitCode::data, "bank/empty: no adapter");
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
  bank(1).check_all();
  add("bank/b", 3);
  test::write_peft(folder.path() / "bank/c", {{test::a_name(kModules[0].name), at::full({2, 6}, NAN)},
                                              {test::b_name(kModules[0].name), at::ones({8, 2})}});
  const auto [code, message] = test::error_of([&] { bank(1).check_all(); });
  EXPECT_EQ(code, ExitCode::data);
  EXPECT_THAT(message,
              testing::MatchesRegex("adapter 'b': [^\n]*expected[^\n]*\nadapter 'c': [^\n]*not finite"));
}

}  // namespace
}  // namespace rocket
