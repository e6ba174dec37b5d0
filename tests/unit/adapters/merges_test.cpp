#include "adapters/merges.h"

#include <gtest/gtest.h>

#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

using test::kModules;
using test::largest_difference;

/// tests/parity/make_merge_reference.py.
class Merges : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& adapter : reference["adapters"]) {
      LoraAdapter& made = adapters.emplace_back(LoraAdapter{adapter["name"], {}});
      for (const auto& weight : adapter["weights"]) {
        const std::int64_t module = weight["module"], rank = weight["rank"];
        made.weights.push_back({module, numbers(weight["a"]).view({rank, -1}),
                                numbers(weight["b"]).view({-1, rank}), weight["scale"]});
      }
    }
  }

  static at::Tensor numbers(const nlohmann::json& values) {
    return at::tensor(values.get<std::vector<float>>());
  }

  void expect_merge(const LoraAdapter& merged, const std::string& name) const {
    const auto& expected = reference["merges"][name];
    ASSERT_EQ(merged.weights.size(), expected.size()) << name;
    for (const LoraWeight& weight : merged.weights) {
      const at::Tensor update = test::delta_w(weight);
      const at::Tensor wanted = numbers(expected[std::to_string(weight.module)]).view(update.sizes());
      EXPECT_LT(largest_difference(update, wanted), 1e-5) << name << ", module " << weight.module;
    }
  }

  const nlohmann::json reference = test::read_reference("tests/data/adapters/merges.json");
  std::vector<LoraAdapter> adapters;
};

TEST_F(Merges, TiesIsThatOfPeft) {
  for (const auto& [density, name] : {std::pair{0.2, "ties 0.2"}, {0.5, "ties 0.5"}, {1.0, "ties 1.0"}})
    expect_merge(ties_merge(adapters, density, "merge"), name);
}

TEST_F(Merges, TiesKeepsAtLeastOneEntry) {
  const LoraAdapter merged = ties_merge(std::span(adapters).first(1), 1e-9, "merge");
  for (const LoraWeight& weight : merged.weights) {
    const at::Tensor whole = test::delta_w(*adapters[0].find(weight.module)), update = test::delta_w(weight);
    EXPECT_EQ(at::count_nonzero(update).item<std::int64_t>(), 1);
    EXPECT_NEAR(update.abs().max().item<double>(), whole.abs().max().item<double>(), 1e-6);
  }
}

TEST_F(Merges, DareDropsByTheSeed) {
  const double drop = reference["drop"];
  const std::uint64_t seed = reference["seed"];
  expect_merge(dare_merge(adapters, kModules, drop, seed, "merge"), "dare");
  const LoraAdapter other = dare_merge(adapters, kModules, drop, seed + 1, "merge");
  EXPECT_GT(largest_difference(test::delta_w(other.weights[0]),
                               test::delta_w(dare_merge(adapters, kModules, drop, seed, "").weights[0])),
            0.1);
}

/// Without a drop it is the mean.
TEST_F(Merges, DareOfNothingIsTheUniformMerge) {
  const LoraAdapter dare = dare_merge(adapters, kModules, 0, 1, "merge"),
                    mean = uniform_merge(adapters, "merge");
  ASSERT_EQ(dare.weights.size(), mean.weights.size());
  for (std::size_t i = 0; i < dare.weights.size(); ++i)
    EXPECT_LT(largest_difference(test::delta_w(dare.weights[i]), test::delta_w(mean.weights[i])), 1e-5);
}

TEST_F(Merges, RandomWeightsHaveTheNormsOfTheirModels) {
  const LoraAdapter drawn = random_weights(adapters[1], kModules, 3),
                    again = random_weights(adapters[1], kModules, 3),
                    other = random_weights(adapters[1], kModules, 4);
  ASSERT_EQ(drawn.weights.size(), adapters[1].weights.size());
  for (std::size_t i = 0; i < drawn.weights.size(); ++i) {
    const LoraWeight &own = adapters[1].weights[i], &random = drawn.weights[i];
    EXPECT_EQ(random.module, own.module);
    EXPECT_EQ(random.scale, own.scale);
    EXPECT_NEAR(random.a_RI.norm().item<double>(), own.a_RI.norm().item<double>(), 1e-5);
    EXPECT_NEAR(random.b_OR.norm().item<double>(), own.b_OR.norm().item<double>(), 1e-5);
    EXPECT_GT(largest_difference(random.a_RI, own.a_RI), 0.1);
    EXPECT_TRUE(random.a_RI.equal(again.weights[i].a_RI) && random.b_OR.equal(again.weights[i].b_OR));
    EXPECT_FALSE(random.a_RI.equal(other.weights[i].a_RI) || random.b_OR.equal(other.weights[i].b_OR));
  }
  EXPECT_FALSE(drawn.weights[0].a_RI.equal(drawn.weights[1].a_RI));
}

}  // namespace
}  // namespace rocket
