#include "training/checkpoint.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "base/files.h"
#include "store/hdf5.h"
#include "unit/adapters/support.h"
#include "unit/base/full_disk.h"

namespace rocket {
namespace {

using test::kModules;
using ::testing::HasSubstr;

class Checkpoint : public ::testing::Test {
 protected:
  static Mixture mixture_of(std::int64_t lora_r) {
    const std::vector<LoraAdapter> experts{{"x", {{1, at::randn({lora_r, 6}), at::randn({4, lora_r}), 1}}},
                                           {"y", {{1, at::randn({1, 6}), at::randn({4, 1}), 1}}}};
    return Mixture::assemble(experts, kModules, {}, at::kCPU);
  }
  Snapshot snapshot(std::int64_t step) const {
    Snapshot s{.step = step};
    const auto count = static_cast<std::size_t>(mixture.flat().numel());
    for (auto* values : {&s.parameters, &s.first_moment, &s.second_moment}) {
      for (std::size_t i = 0; i < count; ++i)
        values->push_back(static_cast<float>(step) + 0.1f * static_cast<float>(i));
    }
    for (std::int64_t i = 1; i <= step; ++i) {
      const double d = static_cast<double>(i);
      s.log.push_back({i, i / 3, 1 / d, 2 / d, 3 / d, i * 7, 4 / d, {0.25f, 0.75f}});
    }
    return s;
  }
  void save(std::int64_t step, std::int64_t keep = 2) {
    save_checkpoint(folder.path() / "checkpoints", snapshot(step), mixture, "print", keep);
  }
  std::optional<Snapshot> load(const std::string& fingerprint = "print") {
    return load_newest_checkpoint(folder.path() / "checkpoints", mixture, fingerprint);
  }
  std::string refusal(const std::string& fingerprint = "print") {
    const auto [code, message] = test::error_of([&] { load(fingerprint); });
    EXPECT_EQ(code, ExitCode::data) << message;
    return message;
  }
  std::filesystem::path path(int step) const {
    return folder.path() / "checkpoints" / fmt::format("step-{:07}.h5", step);
  }

  test::TemporaryFolder folder;
  Mixture mixture = mixture_of(2);
};

TEST_F(Checkpoint, ComesBackAsItWas) {
  EXPECT_FALSE(load().has_value());
  save(5);
  const Snapshot a = snapshot(5), b = *load();
  EXPECT_EQ(b.step, 5);
  EXPECT_EQ(b.parameters, a.parameters);
  EXPECT_EQ(b.first_moment, a.first_moment);
  EXPECT_EQ(b.second_moment, a.second_moment);
  ASSERT_EQ(b.log.size(), 5u);
  EXPECT_EQ(b.log[4].step, 5);
  EXPECT_EQ(b.log[4].epoch, 1);
  EXPECT_EQ(b.log[2].loss, a.log[2].loss);
  EXPECT_EQ(b.log[2].learning_rate, a.log[2].learning_rate);
  EXPECT_EQ(b.log[2].gradient_norm, a.log[2].gradient_norm);
  EXPECT_EQ(b.log[2].target_tokens, 21);
  EXPECT_EQ(b.log[2].seconds, a.log[2].seconds);
  EXPECT_EQ(b.log[2].expert_load, a.log[2].expert_load);
}

TEST_F(Checkpoint, OfNoStepHasAnEmptyLog) {
  save(0);
  EXPECT_EQ(load()->step, 0);
  EXPECT_TRUE(load()->log.empty());
}

TEST_F(Checkpoint, KeepsTheNewest) {
  for (const std::int64_t step : {2, 9, 10, 11}) save(step);
  EXPECT_FALSE(std::filesystem::exists(path(9)));
  EXPECT_TRUE(std::filesystem::exists(path(10)));
  EXPECT_EQ(load()->step, 11);
  std::ofstream(folder.path() / "checkpoints/notes.txt") << "mine";
  std::ofstream(folder.path() / "checkpoints/step-12.h5.tmp") << "cut off";
  save(12, 1);
  EXPECT_FALSE(std::filesystem::exists(path(11)));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "checkpoints/notes.txt"));
  EXPECT_EQ(load()->step, 12);
}

TEST_F(Checkpoint, ABrokenOneStopsTheJobAndNamesTheWayBack) {
  save(3);
  save(4);
  std::filesystem::resize_file(path(4), std::filesystem::file_size(path(4)) / 2);
  EXPECT_THAT(refusal(), ::testing::AllOf(HasSubstr("step-0000004.h5"),
                                          HasSubstr("delete it to go back to step-0000003.h5")));
  std::filesystem::remove(path(3));
  EXPECT_THAT(refusal(), HasSubstr("delete it to train from the start"));
}

// HDF5 itself lets changed values pass, and crashes on some changed structures (1.10).
TEST_F(Checkpoint, AChangeOfAnyByteIsRefused) {
  save(4);
  const std::string whole = read_file(path(4));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << at % 8));
    std::ofstream(path(4), std::ios::binary) << changed;
    ASSERT_THAT(refusal(), ::testing::AllOf(HasSubstr("step-0000004.h5"), HasSubstr("checksum"))) << at;
  }
}

TEST_F(Checkpoint, ValuesThatAreNotFiniteAreRefused) {
  Snapshot s = snapshot(2);
  s.second_moment[static_cast<std::size_t>(mixture.ranges()[1].offset) + 3] =
      std::numeric_limits<float>::quiet_NaN();
  save_checkpoint(folder.path() / "checkpoints", s, mixture, "print", 2);
  EXPECT_THAT(refusal(),
              HasSubstr("'second_moment' of " + mixture.ranges()[1].name + " holds nan at place 3"));
}

/// Writes all that a checkpoint holds but one data set. `put` writes it unless it is the missing one.
void save_without(const std::filesystem::path& path, const std::string& missing, const Snapshot& s,
                  const std::vector<std::string>& layout) {
  H5Writer file(path);
  file.attribute("version", "3");
  file.attribute("fingerprint", "print");
  const auto put = [&](const std::string& name, const auto& values, const Shape& shape) {
    if (name != missing) file.write(name, values, shape);
  };
  const auto steps = static_cast<std::int64_t>(s.log.size());
  const auto count = static_cast<std::int64_t>(s.parameters.size());
  if (missing != "layout") file.write_strings("layout", layout, {static_cast<std::int64_t>(layout.size())});
  put("step", std::vector<std::int64_t>{s.step}, {1});
  put("parameters", s.parameters, {count});
  put("first_moment", s.first_moment, {count});
  put("second_moment", s.second_moment, {count});
  for (const char* name : {"step", "epoch", "target_tokens"})
    put(fmt::format("log/{}", name), std::vector<std::int64_t>(s.log.size()), {steps});
  for (const char* name : {"loss", "learning_rate", "gradient_norm", "seconds"})
    put(fmt::format("log/{}", name), std::vector<double>(s.log.size()), {steps});
  put("log/expert_load", std::vector<float>(2 * s.log.size()), {steps, 2});
  file.commit();
}

TEST_F(Checkpoint, AMissingDataSetIsNamed) {
  save(4);
  const std::vector<std::string> layout = H5Reader(path(4)).read_strings("layout");
  save_without(path(4), "", snapshot(4), layout);
  EXPECT_TRUE(load().has_value());
  for (const std::string name :
       {"layout", "step", "parameters", "first_moment", "second_moment", "log/step", "log/epoch", "log/loss",
        "log/learning_rate", "log/gradient_norm", "log/target_tokens", "log/seconds", "log/expert_load"}) {
    save_without(path(4), name, snapshot(4), layout);
    EXPECT_THAT(refusal(),
                ::testing::AllOf(HasSubstr("no data set '" + name + "'"), HasSubstr("step-0000004.h5")));
  }
}

TEST_F(Checkpoint, TornAnywhereItIsRefused) {
  save(3);
  const std::string whole = read_file(path(3));
  for (const double part : {0.0, 0.01, 0.3, 0.6, 0.9, 0.999}) {
    std::ofstream(path(3), std::ios::binary)
        << whole.substr(0, static_cast<std::size_t>(part * static_cast<double>(whole.size())));
    EXPECT_THAT(refusal(), HasSubstr("step-0000003.h5")) << part;
  }
}

TEST_F(Checkpoint, AFullDiskLeavesTheLastGoodOne) {
  save(3);
  {
    const testing::FullDisk full(2000);
    const auto [code, message] = test::error_of([&] { save(4); });
    EXPECT_EQ(code, ExitCode::storage) << message;
    EXPECT_THAT(message, HasSubstr("step-0000004.h5"));
  }
  EXPECT_EQ(load()->step, 3);
}

TEST_F(Checkpoint, OfSomethingElseIsRefused) {
  save(3);
  EXPECT_THAT(refusal("other"), HasSubstr("other settings or inputs"));
  mixture = mixture_of(3);
  EXPECT_THAT(refusal(), HasSubstr("expected model.layers.0.self_attn.v_proj.lora_A [4, 6], got "
                                   "model.layers.0.self_attn.v_proj.lora_A [3, 6]"));
  mixture = mixture_of(2);
  std::filesystem::rename(path(3), path(7));
  EXPECT_THAT(refusal(), HasSubstr("its step is not that of its name"));
}

}  // namespace
}  // namespace rocket
