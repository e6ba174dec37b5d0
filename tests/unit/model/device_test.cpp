#include "model/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "backend/cpu/cpu_backend.h"
#include "base/error.h"
#include "model/weights.h"
#include "support.h"

namespace rocket {
namespace {

TEST(Device, CpuIsAlwaysThere) {
  EXPECT_EQ(choose_device("cpu", 3), at::Device(at::kCPU));
  EXPECT_THAT([] { choose_device("gpu", 0); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("auto, cpu or cuda")));
}

TEST(Device, IsNamedForPeople) {
  EXPECT_EQ(device_text("cpu"), "cpu");
  const bool gpu = choose_device("auto", 0).is_cuda();
  EXPECT_THAT(device_text("auto"), testing::HasSubstr(gpu ? "on this node" : "cpu"));
}

TEST(Device, AutoFallsBackWhereCudaIsRefused) {
  const at::Device found = choose_device("auto", 0);
  if (found.is_cuda()) GTEST_SKIP() << "this machine has a GPU";
  try {
    choose_device("cuda", 0);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
  }
}

TEST(Device, ThreadsComeFromTheEnvironmentOrAreGiven) {
  const int before = at::get_num_threads();
  const char* old = std::getenv("OMP_NUM_THREADS");
  const std::string kept = old != nullptr ? old : "";
  setenv("OMP_NUM_THREADS", "3,1", 1);
  configure_compute();
  EXPECT_EQ(at::get_num_threads(), 3);
  unsetenv("OMP_NUM_THREADS");
  configure_compute(2);
  EXPECT_EQ(at::get_num_threads(), 2);
  EXPECT_THAT(std::getenv("MKL_CBWR"), testing::HasSubstr("STRICT"));
  if (old != nullptr) setenv("OMP_NUM_THREADS", kept.c_str(), 1);
  at::set_num_threads(before);
}

TEST(Device, AttentionOfCudnnIsOff) {
  at::globalContext().setSDPUseCuDNN(true);
  configure_compute(at::get_num_threads());
  EXPECT_FALSE(at::globalContext().userEnabledCuDNNSDP());
}

TEST(StoredTensors, GoThereAndBack) {
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                          at::kChar, at::kByte, at::kBool}) {
    const at::Tensor tensor = at::arange(6).view({2, 3}).to(type);
    const StoredTensor stored = as_stored("x", tensor);
    EXPECT_EQ(scalar_type(stored.dtype), type);
    EXPECT_EQ(stored.bytes.size(), static_cast<std::size_t>(6 * size_of(stored.dtype)));
    EXPECT_TRUE(as_tensor(stored).equal(tensor));
    EXPECT_EQ(as_tensor(stored).const_data_ptr(), tensor.const_data_ptr());
  }
  EXPECT_THROW(as_stored("x", at::zeros({2, 3}).t()), Error);
}

TEST(StoredTensors, MisalignedBytesAreCopied) {
  const at::Tensor tensor = at::arange(5, at::kFloat);
  std::vector<std::byte> bytes(21);
  std::memcpy(bytes.data() + 1, tensor.const_data_ptr(), 20);
  const StoredTensor stored{"x", DType::f32, {5}, std::span<const std::byte>(bytes).subspan(1, 20)};
  const at::Tensor loaded = load_weight(stored, {at::kFloat, at::kCPU});
  EXPECT_TRUE(loaded.equal(tensor));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(loaded.const_data_ptr()) % 4, 0u);
}

/// [n] as one column, so that every element is a row of its own.
at::Tensor activation(const at::Tensor& x) {
  const at::Tensor column = (x.requires_grad() ? x : x.clone()).unsqueeze(1);
  return cpu_backend().activate(Activation::silu, column, at::ones_like(column)).squeeze(1);
}

/// at::silu fails this: its last few elements are rounded otherwise.
TEST(Activations, BitsDoNotDependOnThePlace) {
  const at::Tensor x = (at::remainder(at::arange(4099, at::kFloat) * 0.618034, 1.0) - 0.5) * 20;
  const at::Tensor whole = activation(x);
  for (std::int64_t i = 0; i < x.numel(); i += 3) {
    EXPECT_TRUE(activation(x.narrow(0, i, 1)).equal(whole.narrow(0, i, 1))) << i;
  }
  const at::Tensor row = x.clone().unsqueeze(0);
  EXPECT_TRUE(cpu_backend().activate(Activation::silu, row, at::ones_like(row)).squeeze(0).equal(whole));
}

TEST(Activations, AgreeWithLibTorch) {
  const at::Tensor x =
      at::cat({at::linspace(-15, 15, 3001, at::kFloat), at::tensor({-200.0f, -88.0f, 0.0f, 200.0f})});
  EXPECT_LT(test::largest_difference(activation(x), at::silu(x)), 2e-6);
}

TEST(Activations, SiluHasAGradientEverywhere) {
  const auto points = at::tensor({-300.0f, -90.0f, -79.0f, -1.0f, 0.0f, 2.0f, 300.0f});
  at::Tensor ours = points.clone().requires_grad_(), theirs = points.clone().requires_grad_();
  activation(ours).sum().backward();
  at::silu(theirs).sum().backward();
  EXPECT_LT(test::largest_difference(ours.grad(), theirs.grad()), 1e-6);
}

}  // namespace
}  // namespace rocket
