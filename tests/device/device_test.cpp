// The emulated device itself, on two devices.
#include "model/device.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gmock/gmock.h>

#include <thread>

#include "base/work_mark.h"
#include "device/counts.h"
#include "device/host_view.h"
#include "device/memory.h"

namespace rocket {
namespace {

using emulated::counted_in_all;
using ::testing::AllOf;
using ::testing::HasSubstr;

at::Device device(int index = 0) {
  return choose_device("emulated", index);
}

double distance(const at::Tensor& found, const at::Tensor& expected) {
  return (found.cpu().to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
}

class EmulatedDevice : public ::testing::Test {
 protected:
  EmulatedDevice() {
    at::manual_seed(1);
    emulated::forget_counts();
  }
};

TEST_F(EmulatedDevice, IsChosenByNameAndRank) {
  EXPECT_EQ(device(0).str(), "emulated:0");
  EXPECT_EQ(device(1).str(), "emulated:1");
  EXPECT_EQ(device(2).str(), "emulated:0");
  EXPECT_EQ(device_text("emulated"), "an emulated GPU (2 on this node)");
}

TEST_F(EmulatedDevice, ComputesWhatTheCpuComputes) {
  const at::Tensor a = at::randn({4, 8}), b = at::randn({8, 5});
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const at::Tensor x = a.to(type), y = b.to(type), found = at::mm(x.to(device()), y.to(device()));
    EXPECT_EQ(found.device(), device());
    EXPECT_EQ(distance(found, at::mm(x, y)), 0) << at::toString(type);
  }
}

TEST_F(EmulatedDevice, KeepsViewsAndStridesApart) {
  const at::Tensor a = at::arange(24, at::kFloat).view({4, 6});
  const at::Tensor d = a.to(device());
  d.narrow(1, 1, 3).t().mul_(2);
  at::Tensor expected = a.clone();
  expected.narrow(1, 1, 3).mul_(2);
  EXPECT_EQ(distance(d, expected), 0);
  EXPECT_EQ(distance(at::cat({d.t(), d.t()}).index_select(1, at::tensor({2, 0}).to(device())),
                     at::cat({expected.t(), expected.t()}).index_select(1, at::tensor({2, 0}))),
            0);
}

TEST_F(EmulatedDevice, ResizesWhatAnOperatorWrites) {
  const at::Tensor a = at::randn({3, 4}).to(device());
  at::Tensor out = at::empty({0}, a.options());
  at::mm_out(out, a, a.t());
  EXPECT_EQ(distance(out, at::mm(a.cpu(), a.cpu().t())), 0);
  out.resize_({4, 4});
  EXPECT_EQ(distance(out.view(-1).narrow(0, 0, 9), at::mm(a.cpu(), a.cpu().t()).view(-1)), 0);
  const at::Tensor found = at::nonzero(a > 0);
  EXPECT_EQ(distance(found, at::nonzero(a.cpu() > 0)), 0);
}

TEST_F(EmulatedDevice, Attends) {
  const at::Tensor q = at::randn({2, 4, 7, 16}), k = at::randn({2, 4, 7, 16}), v = at::randn({2, 4, 7, 16});
  const auto attend = [](const at::Tensor& x, const at::Tensor& y, const at::Tensor& z) {
    return at::scaled_dot_product_attention(x, y, z, {}, 0.0, true);
  };
  EXPECT_LT(distance(attend(q.to(device()), k.to(device()), v.to(device())), attend(q, k, v)), 1e-6);
}

TEST_F(EmulatedDevice, Differentiates) {
  const at::Tensor x = at::randn({6, 8}), w = at::randn({8, 5});
  const auto gradient = [&](at::Device where) {
    const at::Tensor leaf = w.to(where).clone().requires_grad_(true);
    at::log_softmax(at::silu(at::mm(x.to(where), leaf)), -1).square().sum().backward();
    return leaf.grad();
  };
  EXPECT_EQ(gradient(device()).device(), device());
  const at::Tensor expected = gradient(at::kCPU);
  EXPECT_LT(distance(gradient(device()), expected), 1e-5 * expected.abs().max().item<double>());
}

TEST_F(EmulatedDevice, ComputesOnThreadsSideBySide) {
  std::vector<std::thread> threads;
  std::vector<double> distances(4, 1);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const at::Tensor a = at::randn({40, 40}), d = a.to(device(t));
      at::Tensor expected = a, found = d;
      for (int i = 0; i < 50; ++i) {
        expected = at::tanh(at::mm(expected, a));
        found = at::tanh(at::mm(found, d));
      }
      distances[static_cast<std::size_t>(t)] = distance(found, expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(distances, ::testing::Each(0));
}

TEST_F(EmulatedDevice, MarksWhatNobodyHasWritten) {
  EXPECT_TRUE(at::empty({3}, at::TensorOptions(at::kFloat).device(device())).isnan().all().item<bool>());
  EXPECT_EQ(at::empty({3}, at::TensorOptions(at::kLong).device(device())).max().item<std::int64_t>(), -1);
}

using EmulatedDeviceDeathTest = EmulatedDevice;

TEST_F(EmulatedDeviceDeathTest, AHostAccessEndsWithAStack) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const at::Tensor d = at::randn({4}).to(device());
  EXPECT_DEATH(
      {
        volatile float value = *d.const_data_ptr<float>();
        (void)value;
      },
      AllOf(HasSubstr("the host touches device memory"), HasSubstr("The stack:"), HasSubstr("test_device")));
  EXPECT_DEATH(*d.mutable_data_ptr<float>() = 1, HasSubstr("the host touches device memory"));
}

TEST_F(EmulatedDeviceDeathTest, AnotherFaultStaysWhatItIs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        volatile int* nowhere = nullptr;
        *nowhere = 1;
      },
      ::testing::KilledBySignal(SIGSEGV), ::testing::Not(HasSubstr("device memory")));
}

TEST_F(EmulatedDevice, RefusesTensorsOfTwoDevices) {
  const at::Tensor a = at::randn({3, 3}), d = a.to(device());
  const auto refused = [](const auto& work) {
    try {
      work();
    } catch (const c10::Error& e) {
      return std::string(e.what_without_backtrace());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(refused([&] { at::mm(d, a); }), HasSubstr("expected all tensors on one device"));
  EXPECT_THAT(refused([&] { d.index_select(0, at::tensor({0, 1})); }), HasSubstr("'index' on cpu"));
  EXPECT_THAT(refused([&] { d + a.to(device(1)); }), HasSubstr("emulated:1"));
  EXPECT_THAT(refused([&] { at::cat({d, a}); }), HasSubstr("on one device"));
  EXPECT_EQ(distance(d * at::scalar_tensor(2.0), a * 2), 0) << "a number may lie on the CPU";
  EXPECT_THAT(refused([&] { at::empty({1}, at::TensorOptions().device(at::Device("emulated:7"))); }),
              HasSubstr("there are 2 devices"));
}

TEST_F(EmulatedDevice, MovesBetweenItsDevices) {
  const at::Tensor a = at::randn({5}), there = a.to(device(0)).to(device(1));
  EXPECT_EQ(there.device(), device(1));
  EXPECT_EQ(distance(there, a), 0);
  EXPECT_EQ(emulated::device_of(there.const_data_ptr()), 1);
  EXPECT_EQ(
      at::from_blob(there.mutable_data_ptr(), {5}, at::TensorOptions(at::kFloat).device(device(1))).device(),
      device(1));
}

TEST_F(EmulatedDevice, CountsLaunchesCopiesAndWaits) {
  const at::Tensor a = at::randn({4, 4});
  emulated::forget_counts();
  const at::Tensor d = a.to(device());
  EXPECT_EQ(counted_in_all().copies_to_device, 1);
  EXPECT_EQ(counted_in_all().bytes_to_device, 64);
  EXPECT_EQ(counted_in_all().waits, 1) << "its memory is not pinned";
  EXPECT_EQ(counted_in_all().launches, 0);

  const at::Tensor y = at::mm(d, d.t()).narrow(0, 0, 2) + 1;
  EXPECT_EQ(counted_in_all().launches, 2);
  EXPECT_GT(counted_in_all().operators, 5) << "views and memory";
  EXPECT_EQ(counted_in_all().waits, 1);

  y.sum().item<float>();
  EXPECT_EQ(counted_in_all().launches, 3);
  EXPECT_EQ(counted_in_all().waits, 2);
  EXPECT_EQ(counted_in_all().bytes_to_host, 4);

  at::nonzero(y);
  EXPECT_EQ(counted_in_all().waits, 3);
  y.cpu();
  EXPECT_EQ(counted_in_all().waits, 4);
  EXPECT_EQ(counted_in_all().copies_to_host, 2);
}

TEST_F(EmulatedDevice, PinnedMemoryNeedsNoWait) {
  const at::Tensor pinned = at::randn({4}).pin_memory();
  ASSERT_TRUE(pinned.is_pinned());
  emulated::forget_counts();
  const at::Tensor d = pinned.to(device(), at::kFloat, /*non_blocking=*/true);
  EXPECT_EQ(counted_in_all().waits, 0);
  EXPECT_EQ(distance(d, pinned), 0);
}

TEST_F(EmulatedDevice, CountsMemory) {
  const std::int64_t before = emulated::allocated_bytes(0);
  {
    const at::Tensor a = at::empty({1 << 20}, at::TensorOptions(at::kFloat).device(device()));
    EXPECT_EQ(emulated::allocated_bytes(0) - before, 4 << 20);
  }
  EXPECT_EQ(emulated::allocated_bytes(0), before);
  EXPECT_GE(counted_in_all().peak_bytes, 4 << 20);
  EXPECT_THROW(at::empty({std::int64_t{1} << 40}, at::TensorOptions(at::kByte).device(device())),
               c10::OutOfMemoryError);
}

TEST_F(EmulatedDevice, CountsByPhaseAndLayerAndTheBackwardPassToo) {
  job_of_process = "test";
  const at::Tensor w = at::randn({4, 4}).to(device()).requires_grad_(true);
  at::Tensor x = at::randn({4, 4}).to(device());
  emulated::forget_counts();
  {
    const MarkedWork forward("forward");
    for (std::int64_t layer = 0; layer < 2; ++layer) {
      const MarkedWork mark(layer);
      for (std::int64_t i = 0; i <= layer; ++i) x = at::mm(x, w);
    }
  }
  x.sum().backward();
  auto rows = emulated::counted();
  job_of_process = "";
  EXPECT_EQ((rows[{"test", "forward", 0}].launches), 1);
  EXPECT_EQ((rows[{"test", "forward", 1}].launches), 2);
  EXPECT_EQ((rows[{"test", "forward", 1}].passes), 1);
  EXPECT_EQ((rows[{"test", "backward", 0}].launched["aten::mm"]), 1) << "of the weight alone";
  EXPECT_EQ((rows[{"test", "backward", 1}].launched["aten::mm"]), 4);
  EXPECT_THAT(emulated::counts_as_json(), HasSubstr(R"("phase": "forward")"));
}

TEST_F(EmulatedDevice, RecordsEvents) {
  c10::Event event(c10::DeviceType::PrivateUse1);
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::PrivateUse1);
  const c10::Stream stream = guard.getNewStream(device());
  EXPECT_NE(stream, guard.getDefaultStream(device()));
  event.record(guard.getStream(device()));
  event.block(stream);
  EXPECT_TRUE(event.query());
  emulated::forget_counts();
  event.synchronize();
  stream.synchronize();
  EXPECT_EQ(counted_in_all().waits, 2);
}

TEST_F(EmulatedDevice, DrawsRandomNumbers) {
  const at::Tensor d = at::empty({1000}, at::TensorOptions(at::kFloat).device(device())).normal_(0, 0.5);
  EXPECT_NEAR(d.cpu().std().item<double>(), 0.5, 0.05);
}

}  // namespace
}  // namespace rocket
