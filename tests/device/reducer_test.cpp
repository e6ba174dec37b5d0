// Sums over ranks of a device that has no collective library.
#include <gmock/gmock.h>

#include <functional>

#include "gpu/support.h"
#include "training/copying_reducer.h"
#include "training/fixed_order_reducer.h"

namespace rocket {
namespace {

/// Each rank adds 1 + its number to every value of its only micro-batch.
void expect_sums(const std::function<std::unique_ptr<Reducer>()>& make) {
  run_on_threads(3, [&](Comm& comm) {
    const auto reducer = make();
    for (int step = 0; step < 2; ++step) {
      at::Tensor values = at::zeros({1000}, at::TensorOptions(at::kFloat).device(test::gpu()));
      reducer->begin(values.mutable_data_ptr<float>(), 1000, comm.size());
      values.add_(1 + comm.rank());
      reducer->added(comm.rank());
      reducer->finish(comm);
      EXPECT_TRUE(at::equal(values.cpu(), at::full({1000}, 6.0f)));
    }
  });
}

TEST(DeviceReducer, CopiesThroughTheHost) {
  expect_sums([] { return make_copying_reducer(test::gpu()); });
}
TEST(DeviceReducer, AddsUpInAFixedOrder) {
  expect_sums([] { return make_fixed_order_reducer(test::gpu()); });
}

}  // namespace
}  // namespace rocket
