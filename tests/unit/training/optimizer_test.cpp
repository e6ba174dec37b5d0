#include "training/optimizer.h"

#include <gtest/gtest.h>

#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

class AdamWTest : public testing::Test {
 protected:
  AdamWTest() {
    const std::vector<LoraAdapter> experts{{"x", {{0, at::ones({2, 6}), at::ones({8, 2}), 1}}}};
    mixture = Mixture::assemble(experts, test::kModules, {}, at::kCPU);
    mixture->modules()[0].router_NI.fill_(1);
    gradient = at::zeros_like(mixture->flat());
  }

  std::optional<Mixture> mixture;
  at::Tensor gradient;
};

TEST_F(AdamWTest, DecaysTheExpertsAndNotTheRouters) {
  AdamW optimizer(*mixture, gradient, {.weight_decay = 0.5});
  optimizer.update(0.1, 1);
  const MixtureModule& m = mixture->modules()[0];
  EXPECT_TRUE(at::allclose(m.a_RI, at::full_like(m.a_RI, 0.95)));
  EXPECT_TRUE(at::allclose(m.b_OR, at::full_like(m.b_OR, 0.95)));
  EXPECT_TRUE(at::equal(m.router_NI, at::ones_like(m.router_NI)));
}

TEST_F(AdamWTest, FollowsTheFormula) {
  AdamW optimizer(*mixture, gradient, {.weight_decay = 0.01});
  double p = 1, m = 0, v = 0;
  for (int step = 1; step <= 5; ++step) {
    const double g = 0.3 * step - 0.7, rate = 0.02 / step;
    gradient.fill_(g);
    optimizer.update(rate, step);
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    p -= rate * 0.01 * p;
    p -= rate * (m / (1 - std::pow(0.9, step))) / (std::sqrt(v / (1 - std::pow(0.999, step))) + 1e-8);
    EXPECT_NEAR(mixture->modules()[0].a_RI[0][0].item<double>(), p, 1e-6) << step;
  }
  EXPECT_NEAR(optimizer.first_moment()[0].item<double>(), m, 1e-6);
  EXPECT_NEAR(optimizer.second_moment()[0].item<double>(), v, 1e-6);
}

TEST_F(AdamWTest, MayLeaveTheExpertsAlone) {
  gradient.fill_(1);
  AdamW optimizer(*mixture, gradient, {.weight_decay = 0.5, .router_only = true});
  optimizer.update(0.1, 1);
  const MixtureModule& m = mixture->modules()[0];
  EXPECT_TRUE(at::equal(m.a_RI, at::ones_like(m.a_RI)));
  EXPECT_TRUE(at::allclose(m.router_NI, at::full_like(m.router_NI, 0.9)));
}

}  // namespace
}  // namespace rocket
