#include "adapters/similarity.h"

#include <gmock/gmock.h>

#include "model/decoder.h"
#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

using test::kModules;

class Similarity : public testing::Test {
 protected:
  static std::vector<Module> lab_modules() {
    return Decoder::load("tests/lab/base", at::kFloat, at::kCPU).modules();
  }
  /// Largest difference from the reference, over the upper triangle; checks symmetry and the diagonal on the
  /// way.
  static double worst(const std::vector<double>& matrix, const nlohmann::json& expected,
                      bool unit_diagonal = true) {
    const std::size_t n = expected.size();
    EXPECT_EQ(matrix.size(), n * n);
    double worst = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (unit_diagonal) {
        EXPECT_EQ(matrix[i * n + i], 1);
      }
      for (std::size_t j = 0; j < n; ++j) {
        EXPECT_EQ(matrix[i * n + j], matrix[j * n + i]);
        worst = std::max(worst, std::abs(matrix[i * n + j] - expected[i][j].get<double>()));
      }
    }
    return worst;
  }
  Bank bank() { return Bank(list_bank({folder.path()}, {}), kModules, at::kFloat, at::kCPU, 1); }

  test::TemporaryFolder folder;
};

TEST_F(Similarity, OfTheLabAgreesWithDeltaWItself) {
  const auto reference = test::read_reference("tests/data/adapters/similarity.json");
  const Bank bank(list_bank({"tests/lab/bank"}, {}), lab_modules(), at::kFloat, at::kCPU, 1);
  const double difference = worst(similarity_matrix(bank, SimilarityKind::delta_w), reference["delta_w"]);
  RecordProperty("worst", std::to_string(difference));
  EXPECT_LT(difference, 1e-10);
}

TEST_F(Similarity, FactorsAndReleasedCode) {
  const auto reference = test::read_reference("tests/data/adapters/similarity.json");
  std::vector<std::filesystem::path> folders;
  for (const std::string name : reference["alike"]) folders.push_back("tests/lab/bank/" + name);
  const Bank bank(list_bank(folders, {}), lab_modules(), at::kFloat, at::kCPU, 1);
  EXPECT_LT(worst(similarity_matrix(bank, SimilarityKind::factors), reference["factors"]), 1e-10);
  EXPECT_LT(worst(similarity_matrix(bank, SimilarityKind::released_code), reference["released_code"], false),
            1e-9);
}

TEST_F(Similarity, FactorsOfUnlikeAdaptersAreRefused) {
  const Bank bank(list_bank({"tests/lab/bank"}, {}), lab_modules(), at::kFloat, at::kCPU, 1);
  for (const auto kind : {SimilarityKind::factors, SimilarityKind::released_code}) {
    const auto [code, message] = test::error_of([&] { similarity_matrix(bank, kind); });
    EXPECT_EQ(code, ExitCode::data);
    EXPECT_THAT(message, testing::HasSubstr("adapters 'blind-choice' and 'color'"));
  }
}

TEST_F(Similarity, DoesNotSeeHowDeltaWIsFactored) {
  at::manual_seed(4);
  const at::Tensor a = at::randn({2, 6}), b = at::randn({8, 2}), mix = at::randn({2, 2});
  const std::string module = kModules[0].name;
  test::write_peft(folder.path() / "x", {{test::a_name(module), a}, {test::b_name(module), b}});
  test::write_peft(
      folder.path() / "y",
      {{test::a_name(module), at::mm(mix, a)}, {test::b_name(module), at::mm(b, at::inverse(mix))}},
      {{"lora_alpha", 64}});
  test::write_peft(folder.path() / "z", {{test::a_name(module), a}, {test::b_name(module), b}},
                   {{"lora_alpha", -4}});
  const auto matrix = similarity_matrix(bank(), SimilarityKind::delta_w);
  EXPECT_NEAR(matrix[1], 1, 1e-5);
  EXPECT_LE(matrix[1], 1);
  EXPECT_DOUBLE_EQ(matrix[2], -1);
}

TEST_F(Similarity, AveragesOverBothTargetsAndTakesZeroAsUnlike) {
  const at::Tensor a = at::ones({2, 6});
  const auto pair = [&](const Module& m, double value) {
    return test::NamedTensors{{test::a_name(m.name), a},
                              {test::b_name(m.name), at::full({m.outputs, 2}, value)}};
  };
  const auto write = [&](const char* name, std::vector<test::NamedTensors> parts) {
    test::NamedTensors all;
    for (auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    test::write_peft(folder.path() / name, all);
  };
  write("one", {pair(kModules[0], 1), pair(kModules[1], 1)});
  write("two", {pair(kModules[1], 2), pair(kModules[2], 1), pair(kModules[3], 1)});
  write("zero", {pair(kModules[0], 0), pair(kModules[1], 0)});
  const auto matrix = similarity_matrix(bank(), SimilarityKind::delta_w);
  EXPECT_DOUBLE_EQ(matrix[0 * 3 + 1], 0.25);
  EXPECT_EQ(matrix[0 * 3 + 2], 0);
  EXPECT_EQ(matrix[2 * 3 + 2], 1);
}

}  // namespace
}  // namespace rocket
