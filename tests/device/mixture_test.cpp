// A mixture as the GPU's kernels compute it against LibTorch's operators: types, choices, dropout, losses.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "backend/torch/torch_backend.h"
#include "device/counts.h"
#include "device/host_view.h"

namespace rocket {
namespace {

const at::Device kDevice(emulated::kEmulated, 0);
constexpr std::int64_t kTokens = 23, kInputs = 40;

struct Case {
  std::string name;
  std::vector<std::vector<std::int64_t>> ranks;  // of the experts of each module
  RoutingRule rule = {2, 1.0f};
  bool dropout = false, losses = false;
};

const Case kCases[] = {{"two_modules", {{4, 8, 2}, {3, 5}}},
                       {"a_lone_expert", {{4, 8, 2}, {6}}, {2, 1.0f}, true, true},
                       {"without_a_choice", {{4}, {6}}, {2, 1.0f}, true},
                       {"one_of_three", {{4, 8, 2}}, {1, 1.0f}, true, true},
                       {"all", {{4, 8, 2, 16}}, {4, 1.0f}, false, true},
                       {"top_p", {{4, 8, 2, 16}, {1, 1, 1}}, {3, 0.6f}, true, true}};

class Mixtures : public testing::TestWithParam<std::tuple<at::ScalarType, Case>> {
 protected:
  Mixtures() {
    at::manual_seed(5);
    const auto& [type, c] = GetParam();
    std::vector<at::Tensor> a, routers;
    for (std::size_t m = 0; m < c.ranks.size(); ++m) {
      std::vector<double> scales;
      for (const std::int64_t rank : c.ranks[m]) scales.push_back(16.0 / static_cast<double>(rank));
      layer.columns.add_module(c.ranks[m], scales);
      const auto index = static_cast<std::int64_t>(m);
      const std::int64_t r = layer.columns.columns_of(index), outputs = 9 + 4 * index;
      a.push_back(at::randn({r, kInputs}) / 6);
      routers.push_back(at::randn({layer.columns.experts_of(index), kInputs}) / 3);
      layer.b_OR.push_back(at::randn({outputs, r}) / 6);
      y.push_back(at::randn({kTokens, outputs}).to(type));
      dy.push_back(at::randn({kTokens, outputs}).to(type));
    }
    layer.rule = c.rule;
    layer.a_RI = at::cat(a);
    layer.router_NI = at::cat(routers);
    x = at::randn({kTokens, kInputs}).to(type);
    if (c.dropout)
      dropout = {{at::arange(kTokens), at::zeros({kTokens}, at::kLong), 12345, 3, 1U << 30}, 4.0 / 3};
    if (c.losses) losses = {at::randint(20, {layer.columns.experts()}, at::kLong), 7, 0.3};
  }

  struct Result {
    std::vector<at::Tensor> y;
    MixtureState state;
    MixtureGradients g;
  };

  Result result_on(at::Device device, const Backend& backend) const {
    const auto moved = [&](const at::Tensor& t) { return t.defined() ? t.to(device) : t; };
    MixtureView view = layer;
    view.a_RI = moved(view.a_RI);
    view.router_NI = moved(view.router_NI);
    for (at::Tensor& b : view.b_OR) b = moved(b);
    InputDropout drop = dropout;
    drop.draw.upper_T = moved(drop.draw.upper_T);
    drop.draw.lower_T = moved(drop.draw.lower_T);
    Result r;
    for (const at::Tensor& of_module : y) r.y.push_back(of_module.to(device).clone());
    std::vector<at::Tensor> d;
    for (const at::Tensor& of_module : dy) d.push_back(moved(of_module));
    const at::Tensor rows = moved(x);
    r.state = backend.add_mixture(view, rows, drop, r.y);
    r.g = backend.mixture_backward(view, rows, drop, r.state, d,
                                   {moved(losses.choices_N), losses.balance, losses.z}, {true, true, true});
    EXPECT_TRUE(rows.cpu().equal(x)) << "x is read only";
    return r;
  }

  /// In the distance of the whole tensor: single numbers may lie near zero.
  static void expect_near(const at::Tensor& found, const at::Tensor& expected, double bound,
                          const char* what) {
    ASSERT_EQ(found.defined(), expected.defined()) << what;
    if (!found.defined()) return;
    ASSERT_EQ(found.sizes(), expected.sizes()) << what;
    EXPECT_EQ(found.scalar_type(), expected.scalar_type()) << what;
    const at::Tensor e = expected.to(at::kDouble);
    EXPECT_LE((found.cpu().to(at::kDouble) - e).norm().item<double>(), bound * e.norm().item<double>() + 1e-9)
        << what;
  }

  MixtureView layer;
  at::Tensor x;
  std::vector<at::Tensor> y, dy;
  InputDropout dropout;
  LossGradients losses;
};

TEST_P(Mixtures, ComputeAMixture) {
  const auto& [type, c] = GetParam();
  const Result expected = result_on(at::kCPU, torch_backend());
  emulated::forget_counts();
  const Result found = result_on(kDevice, backend_for(kDevice, type));
  EXPECT_EQ(emulated::counted_in_all().launched["gate_backward"], 1) << "our own kernels computed it";
  EXPECT_EQ(found.state.gates_TN.defined(), expected.state.gates_TN.defined());
  if (found.state.gates_TN.defined()) {
    EXPECT_TRUE(found.state.gates_TN.cpu().ne(0).equal(expected.state.gates_TN.ne(0))) << "the same choices";
  }
  // Choices come from products with float32's digits in either type.
  expect_near(found.state.p_TN, expected.state.p_TN, 1e-6, "p");
  expect_near(found.state.gates_TN, expected.state.gates_TN, 1e-6, "gates");
  expect_near(found.state.log_sum_TM, expected.state.log_sum_TM, 1e-6, "log sums");
  const double bound = type == at::kFloat ? 2e-6 : 8e-3;
  expect_near(found.state.hidden_TR, expected.state.hidden_TR, bound, "hidden");
  for (std::size_t m = 0; m < y.size(); ++m) {
    expect_near(found.y[m], expected.y[m], bound, "y");
    expect_near(found.g.db_OR[m], expected.g.db_OR[m], bound, "db");
  }
  expect_near(found.g.da_RI, expected.g.da_RI, bound, "da");
  expect_near(found.g.drouter_NI, expected.g.drouter_NI, bound, "drouter");
  expect_near(found.g.dx_TI, expected.g.dx_TI, bound, "dx");
}

INSTANTIATE_TEST_SUITE_P(
    Types, Mixtures, testing::Combine(testing::Values(at::kFloat, at::kBFloat16), testing::ValuesIn(kCases)),
    [](const auto& info) {
      return std::string(at::toString(std::get<0>(info.param))) + "_" + std::get<1>(info.param).name;
    });

}  // namespace
}  // namespace rocket
