#include "buildinfo/build_info.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

namespace rocket {
namespace {

using nlohmann::json;

// https://semver.org, "suggested regular expression", without its names.
const std::regex semantic_version(
    R"((0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?)");

TEST(BuildInfo, TheVersionIsSemantic) {
  EXPECT_TRUE(std::regex_match(version(), semantic_version)) << version();
}

TEST(BuildInfo, SaysWhatTheProgramWasMadeFrom) {
  const auto& info = build_info();
  EXPECT_EQ(info["version"], version());
  const std::string commit =
      info["commit"].is_null() ? std::string(40, '0') : info["commit"].get<std::string>();
  EXPECT_TRUE(std::regex_match(commit, std::regex("[0-9a-f]{40}")));
  EXPECT_EQ(info["commit"].is_null(), info["dirty"].is_null());
  for (const char* key : {"compiler", "build_type"}) EXPECT_NE(info[key], "") << key;
  EXPECT_TRUE(info["flags"].is_string());
  for (const char* key : {"architecture", "model", "kernels"})
    EXPECT_TRUE(info["cpu"][key].is_string()) << key;
  EXPECT_TRUE(info["cpu"]["features"].is_array());
}

TEST(BuildInfo, NamesEveryLibraryWithItsVersion) {
  const auto& libraries = build_info()["libraries"];
  for (const char* name : {"LibTorch", "yaml-cpp", "fmt", "nlohmann-json", "CLI11", "PCRE2", "utf8proc",
                           "xxHash", "zstd", "zlib", "liblzma", "bzip2", "libseccomp", "NLopt", "HDF5"})
    EXPECT_TRUE(std::regex_search(libraries[name].get<std::string>(), std::regex(R"(^\d+\.\d+)"))) << name;
  for (const char* name : {"CUDA", "NCCL", "Arrow", "MPI"}) EXPECT_NE(libraries[name], "") << name;
}

TEST(BuildInfo, ThePhraseIsThatOfOldRecordsToo) {
  EXPECT_EQ(build_phrase(json::parse(build_info().dump())), version() + ", LibTorch " + libtorch_version());
  EXPECT_EQ(build_phrase("0.1.0, LibTorch 2.11.0"), "0.1.0, LibTorch 2.11.0");
}

}  // namespace
}  // namespace rocket
