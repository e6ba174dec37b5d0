#include "moe/mixture.h"

#include <gtest/gtest.h>

#include "adapters/merges.h"
#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

using test::kModules;
using test::largest_difference;

LoraWeight random_weight(std::int64_t module, std::int64_t lora_r, double scale) {
  const Module& m = kModules[static_cast<std::size_t>(module)];
  return {module, at::randn({lora_r, m.inputs}), at::randn({m.outputs, lora_r}), scale};
}

class MixtureTest : public testing::Test {
 protected:
  MixtureTest() {
    at::manual_seed(7);
    experts = {{"one", {random_weight(0, 2, 2), random_weight(1, 2, 0.5)}},
               {"two", {random_weight(1, 3, 1.5)}},
               {"three", {random_weight(0, 1, 1), random_weight(1, 4, 3), random_weight(3, 2, 1)}}};
  }
  Mixture assemble(const MixtureOptions& options = {}) {
    return Mixture::assemble(experts, kModules, options, at::kCPU);
  }

  std::vector<LoraAdapter> experts;
};

TEST_F(MixtureTest, LaysTheExpertsSideBySide) {
  const Mixture mixture = assemble();
  EXPECT_EQ(mixture.expert_names(), (std::vector<std::string>{"one", "two", "three"}));
  ASSERT_EQ(mixture.modules().size(), 3u);
  EXPECT_EQ(mixture.position(0), 0);
  EXPECT_EQ(mixture.position(2), -1);
  EXPECT_EQ(mixture.position(3), 2);
  const MixtureModule& v = mixture.modules()[1];
  EXPECT_EQ(v.experts, (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(v.ranks, (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(v.scales, (std::vector<double>{0.5, 1.5, 3}));
  EXPECT_TRUE(at::equal(v.a_RI.narrow(0, 2, 3), experts[1].weights[0].a_RI));
  EXPECT_TRUE(at::equal(v.b_OR.narrow(1, 5, 4), experts[2].weights[1].b_OR));
  EXPECT_TRUE(v.b_OR.is_contiguous());
}

TEST_F(MixtureTest, ViewsAndRangesCoverTheFlatBuffer) {
  Mixture mixture = assemble();
  std::int64_t offset = 0;
  for (const ParameterRange& range : mixture.ranges()) {
    EXPECT_EQ(range.offset, offset);
    EXPECT_EQ(range.count, range.shape[0] * range.shape[1]);
    EXPECT_EQ(range.router, range.name.ends_with(".router.weight"));
    offset += range.count;
  }
  EXPECT_EQ(offset, mixture.flat().numel());
  EXPECT_EQ(mixture.ranges()[3].name, "model.layers.0.self_attn.v_proj.lora_A");
  mixture.modules()[1].router_NI.fill_(5);
  EXPECT_TRUE(at::equal(mixture.flat().narrow(0, mixture.ranges()[4].offset, 18), at::full({18}, 5.0f)));
}

TEST_F(MixtureTest, AnExpertComesOutAsItWentIn) {
  const Mixture mixture = assemble();
  for (std::size_t i = 0; i < experts.size(); ++i) {
    const LoraAdapter out = mixture.expert(static_cast<std::int64_t>(i));
    EXPECT_EQ(out.name, experts[i].name);
    ASSERT_EQ(out.weights.size(), experts[i].weights.size());
    for (std::size_t w = 0; w < out.weights.size(); ++w) {
      EXPECT_EQ(out.weights[w].module, experts[i].weights[w].module);
      EXPECT_EQ(out.weights[w].scale, experts[i].weights[w].scale);
      EXPECT_TRUE(at::equal(out.weights[w].a_RI, experts[i].weights[w].a_RI));
      EXPECT_TRUE(at::equal(out.weights[w].b_OR, experts[i].weights[w].b_OR));
    }
  }
}

TEST_F(MixtureTest, LinearRoutersAreUniformBySeedAlone) {
  const Mixture one = assemble({.seed = 1}), same = assemble({.seed = 1}), other = assemble({.seed = 2});
  EXPECT_TRUE(at::equal(one.flat(), same.flat()));
  EXPECT_FALSE(at::equal(one.modules()[0].router_NI, other.modules()[0].router_NI));
  EXPECT_FALSE(at::equal(one.modules()[0].router_NI[0], one.modules()[1].router_NI[0]));
  const std::vector<Module> wide = {{"wide", 4096, 2}};
  const std::vector<LoraAdapter> many(4, LoraAdapter{"x", {{0, at::zeros({1, 4096}), at::zeros({2, 1}), 1}}});
  const at::Tensor router = Mixture::assemble(many, wide, {.seed = 3}, at::kCPU).modules()[0].router_NI * 64;
  EXPECT_LE(router.abs().max().item<float>(), 1);
  EXPECT_GT(router.abs().max().item<float>(), 0.999);
  EXPECT_NEAR(router.mean().item<float>(), 0, 0.02);
  EXPECT_NEAR(router.square().mean().item<float>(), 1.0 / 3, 0.01);
}

TEST_F(MixtureTest, ArrowRoutersAreTopRightSingularVectors) {
  const Mixture mixture = assemble({.router = RouterKind::arrow});
  for (const MixtureModule& m : mixture.modules()) {
    for (std::size_t i = 0; i < m.experts.size(); ++i) {
      const LoraWeight* weight = experts[static_cast<std::size_t>(m.experts[i])].find(m.module);
      const at::Tensor v = std::get<2>(at::linalg_svd(test::delta_w(*weight), false))[0];
      const at::Tensor row = m.router_NI[static_cast<std::int64_t>(i)];
      EXPECT_LT(largest_difference(row.abs(), v.abs()), 1e-5);
      EXPECT_NEAR(std::abs((row * v).sum().item<double>()), 1, 1e-5);
      EXPECT_GT(row[row.abs().argmax().item<std::int64_t>()].item<float>(), 0);
    }
  }
}

TEST_F(MixtureTest, UniformMergeIsTheMeanOfTheDeltas) {
  const LoraAdapter merged = uniform_merge(experts, "merge");
  EXPECT_EQ(merged.name, "merge");
  ASSERT_EQ(merged.weights.size(), 3u);
  for (const LoraWeight& weight : merged.weights) {
    const Module& m = kModules[static_cast<std::size_t>(weight.module)];
    at::Tensor mean = at::zeros({m.outputs, m.inputs}, at::kDouble);
    for (const LoraAdapter& expert : experts) {
      if (const LoraWeight* w = expert.find(weight.module)) mean += test::delta_w(*w) / 3;
    }
    EXPECT_LT(largest_difference(test::delta_w(weight), mean), 1e-5);
  }
  EXPECT_EQ(merged.find(1)->lora_r(), 9);
}

}  // namespace
}  // namespace rocket
