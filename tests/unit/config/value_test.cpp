#include "config/value.h"

#include <gtest/gtest.h>

#include "base/nearest.h"
#include "config/settings.h"

namespace rocket {
namespace {

TEST(Nearest, FindsTheKeyThatWasMeant) {
  const auto guess = [](const char* path) { return nearest_key(path, known_keys()); };
  EXPECT_EQ(guess("training.learnign_rate"), "training.learning_rate");
  EXPECT_EQ(guess("learning_rate"), "training.learning_rate");
  EXPECT_EQ(guess("experts.top_k"), "mixture.top_k");
  EXPECT_EQ(guess("selction"), "selection");
  EXPECT_EQ(guess("task.shot"), "task.shots");
  EXPECT_EQ(guess("encoder.similarity"), "scoring.similarity");
  EXPECT_EQ(guess("selection.simmilarity"), "selection.similarity");
  EXPECT_EQ(guess("corpus.path"), "base.path");
}

TEST(Bytes, ReadAndPrinted) {
  EXPECT_EQ(parse_bytes("4GiB"), std::int64_t{4} << 30);
  EXPECT_EQ(parse_bytes("1.5 KB"), 1500);
  EXPECT_EQ(parse_bytes("17"), 17);
  for (const char* text : {"", "GiB", "-1", "1e3", "4gb", "4GiB x", "inf", "9000000TiB", "0x10"}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
  }
  for (const std::int64_t bytes : {std::int64_t{1}, std::int64_t{1000}, std::int64_t{1024},
                                   std::int64_t{4} << 30, std::int64_t{1500000001}, std::int64_t{3} << 50}) {
    EXPECT_EQ(parse_bytes(format_bytes(bytes)), bytes);
  }
  EXPECT_EQ(format_bytes(std::int64_t{4} << 30), "4GiB");
}

}  // namespace
}  // namespace rocket
