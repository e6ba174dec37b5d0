// Kernels of our own, as blocks of one thread, against LibTorch's operators: types and awkward sizes.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

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
  for (const auto& [rows, heads, width] :
       {std::tuple{1, 1, 2}, std::tuple{5, 3, 10}, std::tuple{2, 8, 128}}) {
    const at::Tensor x = drawn({rows, heads, width});
    const Rotation turn{drawn({rows, 1, width / 2}), drawn({rows, 1, width / 2})};
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
  const at::Tensor found = gpu.silu_times(dgate, dup);
  expect_one_launch();
  expect_near(found, reference.silu_times(gate.clone(), up), 4);
}

TEST_P(Steps, WhatNeedsAGradientGoesThroughLibTorch) {
  const c10::InferenceMode off(false);
  const c10::AutoGradMode with_grad(true);
  const at::Tensor x = drawn({3, 8}).to(kDevice).requires_grad_(true), weight = drawn({8}).to(kDevice);
  gpu.rms_norm(x, weight, 1e-5).sum().backward();
  EXPECT_TRUE(x.grad().defined());
}

TEST_P(Steps, NothingIsNoLaunch) {
  emulated::forget_counts();
  EXPECT_EQ(gpu.rms_norm(drawn({0, 8}).to(kDevice), drawn({8}).to(kDevice), 1e-5).size(0), 0);
}

INSTANTIATE_TEST_SUITE_P(Types, Steps, testing::Values(at::kFloat, at::kBFloat16));

}  // namespace
}  // namespace rocket
