#include "text/decontamination.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace rocket {
namespace {

using ::nlohmann::json;

const std::string kData = "tests/data/formats/";

TEST(DecontaminationKeyTest, IsPythonsLowerSplitJoin) {
  const json cases = json::parse(read_file(kData + "decontamination_keys.json"));
  int seen = 0;
  for (const json& one : cases) {
    Record record;
    record.instruction = one["instruction"];
    record.input = one["input"];
    EXPECT_EQ(decontamination_key(record), one["key"].get<std::string>()) << ++seen;
  }
}

TEST(DecontaminationKeyTest, FoldsSigmaToOneForm) {
  Record capital, small;
  capital.instruction = "\u039f\u0394\u039f\u03a3";
  small.instruction = "\u03bf\u03b4\u03bf\u03c3";
  EXPECT_EQ(decontamination_key(capital), decontamination_key(small));
}

TEST(DecontaminationKeyTest, SurvivesBytesThatAreNoText) {
  Record record;
  record.instruction = "A\xff\xc3";
  EXPECT_EQ(decontamination_key(record), "a\ufffd\ufffd");
}

}  // namespace
}  // namespace rocket
