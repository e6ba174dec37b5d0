// Kernels of our own, as blocks of one thread, against LibTorch's operators: types and awkward sizes.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <functional>

#include "backend/torch/torch_backend.h"
#include "device/counts.h"
#include "device/host_view.h"

namespace rocket {
namespace {

const at::Device kDevice(emulated::kEmulated, 0);

class Steps : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::manual_seed(11); }

  at::Tensor drawn(at::IntArrayRef shape) const { return at::randn(shape).to(GetParam()); }

  /// One launch, and the reference's values up to so many steps of the type.
  void expect_one_launch() const {
    EXPECT_EQ(emulated::counted_in_all().launches, 1);
    EXPECT_EQ(emulated::counted_in_all().waits, 0);
  }
  void expect_near(const at::Tensor& found, const at::Tensor& expected, double steps) const {
    const at::Tensor a = found.cpu().to(at::kDouble), b = expected.to(at::kDouble);
    const double step = GetParam() == at::kFloat ? 1.2e-7 : 7.9e-3;
    EXPECT_TRUE(at::allclose(a, b, steps * step, 1e-6)) << (a - b).abs().max();
  }

  const c10::InferenceMode inference;
  const Backend& gpu = backend_for(kDevice, GetParam());
  const Backend& reference = torch_backend();  // on the CPU
};

TEST_P(Steps, NormOfRows) {
  for (const auto& [rows, width] :
       {std::pair{1, 1}, std::pair{3, 7}, std::pair{5, 256}, std::pair{2, 1031}}) {
    const at::Tensor x = drawn({rows, width}), weight = drawn({width});
    const at::Tensor dx = x.to(kDevice), dweight = weight.to(kDevice);
    emulated::forget_counts();
    const at::Tensor found = gpu.rms_norm(dx, dweight, 1e-5);
    expect_one_launch();
    expect_near(found, reference.rms_norm(x, weight, 1e-5), 8);
    EXPECT_TRUE(dx.cpu().equal(x)) << "x is read only";
  }
}

TEST_P(Steps, NormOfASum) {
  const at::Tensor x = drawn({4, 33}), y = drawn({4, 33}), weight = drawn({33});
  at::Tensor dx = x.to(kDevice);
  const at::Tensor dy = y.to(kDevice), dweight = weight.to(kDevice);
  emulated::forget_counts();
  const auto [sum, normed] = gpu.add_rms_norm(dx, dy, dweight, 1e-6);
  expect_one_launch();
  EXPECT_TRUE(sum.cpu().equal(x + y));
  expect_near(normed, reference.rms_norm(x + y, weight, 1e-6), 8);
}

TEST_P(Steps, Rotation) {
  for (const auto& [rows, heads, width, turned] : {std::tuple{1, 1, 2, 2}, std::tuple{5, 3, 10, 10},
                                                   std::tuple{2, 8, 128, 128}, std::tuple{5, 3, 10, 6}}) {
    const at::Tensor x = drawn({rows, heads, width});
    const Rotation turn{drawn({rows, 1, turned / 2}), drawn({rows, 1, turned / 2})};
    const at::Tensor dx = x.to(kDevice);
    const Rotation dturn{turn.cos.to(kDevice), turn.sin.to(kDevice)};
    emulated::forget_counts();
    const at::Tensor found = gpu.rotate(dx, dturn);
    expect_one_launch();
    EXPECT_TRUE(GetParam() != at::kBFloat16 || found.cpu().equal(reference.rotate(x, turn)));
    expect_near(found, reference.rotate(x, turn), 4);
  }
}

TEST_P(Steps, Activation) {
  const at::Tensor gate = 5 * drawn({3, 77}), up = drawn({3, 77});
  const at::Tensor dgate = gate.to(kDevice), dup = up.to(kDevice);
  emulated::forget_counts();
  const at::Tensor found = gpu.activate(Activation::silu, dgate, dup);
  expect_one_launch();
  expect_near(found, reference.activate(Activation::silu, gate.clone(), up), 4);
}

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

/// d sum(weights * f(x)) / dx.
std::vector<at::Tensor> gradients(const Function& f, std::vector<at::Tensor> x, const at::Tensor& weights) {
  const c10::InferenceMode off(false);
  const c10::AutoGradMode with_grad(true);
  std::vector<at::Tensor> leaves, result;
  for (const at::Tensor& value : x) leaves.push_back(value.clone().requires_grad_(true));
  std::vector<at::Tensor> inputs;  // steps may write into what nobody else holds
  for (const at::Tensor& leaf : leaves) inputs.push_back(leaf * 1);
  const at::Tensor y = f(inputs);
  emulated::forget_counts();
  y.backward(weights.clone());
  for (const at::Tensor& leaf : leaves) result.push_back(leaf.grad().detach());
  return result;
}

/// The gradients on the device, in one launch called `launch` (empty: known since the forward pass), against
/// those of a formula in float64.
void expect_gradients(at::ScalarType type, const std::string& launch, const Function& found,
                      const Function& formula, const std::vector<at::Tensor>& x, const at::Tensor& weights) {
  std::vector<at::Tensor> on_device, wide;
  for (const at::Tensor& value : x) {
    on_device.push_back(value.to(kDevice));
    wide.push_back(value.to(at::kDouble));
  }
  const auto expected = gradients(formula, wide, weights.to(at::kDouble));
  const auto d = gradients(found, on_device, weights.to(kDevice));
  if (!launch.empty()) {
    EXPECT_EQ(emulated::counted_in_all().launched[launch], 1);
  }
  for (std::size_t i = 0; i < d.size(); ++i) {
    const double distance =
        ((d[i].cpu().to(at::kDouble) - expected[i]).norm() / expected[i].norm()).item<double>();
    EXPECT_LT(distance, type == at::kFloat ? 1e-6 : 6e-3) << launch << ", input " << i;
  }
}

at::Tensor norm_formula(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return weight.to(x.scalar_type()) * x * at::rsqrt(x.square().mean(-1, true) + eps);
}

TEST_P(Steps, GradientOfTheNorm) {
  const c10::InferenceMode off(false);
  for (const auto& [rows, width] : {std::pair{1, 1}, std::pair{3, 7}, std::pair{2, 1031}}) {
    const at::Tensor x = drawn({rows, width}), weight = drawn({width}), dweight = weight.to(kDevice);
    // eps is large: x of one feature has a gradient only through it
    expect_gradients(
        GetParam(), "rms_norm_backward", [&](const auto& v) { return gpu.rms_norm(v[0], dweight, 0.1); },
        [&](const auto& v) { return norm_formula(v[0], weight, 0.1); }, {x}, drawn({rows, width}));
  }
}

TEST_P(Steps, GradientOfTheNormOfASum) {
  const c10::InferenceMode off(false);
  // The second term stands for the residual way, which reads the sum, too.
  const at::Tensor x = drawn({4, 33}), y = drawn({4, 33}), weight = drawn({33}), dweight = weight.to(kDevice);
  expect_gradients(
      GetParam(), "rms_norm_backward",
      [&](const auto& v) {
        const auto [sum, normed] = gpu.add_rms_norm(v[0], v[1], dweight, 1e-6);
        return sum + 2 * normed;
      },
      [&](const auto& v) { return v[0] + v[1] + 2 * norm_formula(v[0] + v[1], weight, 1e-6); }, {x, y},
      drawn({4, 33}));
}

TEST_P(Steps, GradientOfTheRotation) {
  const c10::InferenceMode off(false);
  const Rotation turn{drawn({5, 1, 5}), drawn({5, 1, 5})};
  const Rotation dturn{turn.cos.to(kDevice), turn.sin.to(kDevice)};
  expect_gradients(
      GetParam(), "rotate", [&](const auto& v) { return gpu.rotate(v[0], dturn); },
      [&](const auto& v) {
        const at::Tensor first = v[0].narrow(2, 0, 5), second = v[0].narrow(2, 5, 5);
        return at::cat({first * turn.cos - second * turn.sin, second * turn.cos + first * turn.sin}, 2);
      },
      {drawn({5, 3, 10})}, drawn({5, 3, 10}));
  expect_gradients(
      GetParam(), "rotate", [&](const auto& v) { return gpu.rotate(v[0], dturn); },
      [&](const auto& v) {
        const at::Tensor first = v[0].narrow(2, 0, 5), second = v[0].narrow(2, 5, 5);
        return at::cat({first * turn.cos - second * turn.sin, second * turn.cos + first * turn.sin,
                        v[0].narrow(2, 10, 2)},
                       2);
      },
      {drawn({5, 3, 12})}, drawn({5, 3, 12}));
}

TEST_P(Steps, GradientOfTheActivation) {
  const c10::InferenceMode off(false);
  expect_gradients(
      GetParam(), "silu_times_backward",
      [&](const auto& v) { return gpu.activate(Activation::silu, v[0], v[1]); },
      [&](const auto& v) { return v[0] * at::sigmoid(v[0]) * v[1]; }, {5 * drawn({3, 77}), drawn({3, 77})},
      drawn({3, 77}));
}

TEST_P(Steps, NllAndItsGradient) {
  const c10::InferenceMode off(false);
  const at::Tensor hidden = drawn({6, 16}), head = drawn({301, 16});
  const at::Tensor targets = at::tensor({0, 300, 7, 7, 150, 1}, at::kLong), dtargets = targets.to(kDevice);
  const HeadWeight weight{{head.to(kDevice), {}}};
  const Function formula = [&](const auto& v) {
    return -at::log_softmax(at::mm(v[0], head.to(at::kDouble).t()), -1)
                .gather(1, targets.unsqueeze(1))
                .squeeze(1);
  };
  const at::Tensor weights = at::rand({6});
  expect_gradients(
      GetParam(), "", [&](const auto& v) { return gpu.nll(weight, v[0], dtargets); }, formula, {hidden},
      weights);
  const c10::InferenceMode on;
  emulated::forget_counts();
  const at::Tensor found = gpu.nll(weight, hidden.to(kDevice), dtargets);
  EXPECT_LE(emulated::counted_in_all().launches, 3);
  EXPECT_TRUE(at::allclose(found.cpu().to(at::kDouble), formula({hidden.to(at::kDouble)}), 1e-6, 1e-6));
}

TEST_P(Steps, NothingIsNoLaunch) {
  emulated::forget_counts();
  EXPECT_EQ(gpu.rms_norm(drawn({0, 8}).to(kDevice), drawn({8}).to(kDevice), 1e-5).size(0), 0);
}

INSTANTIATE_TEST_SUITE_P(Types, Steps, testing::Values(at::kFloat, at::kBFloat16));

}  // namespace
}  // namespace rocket
