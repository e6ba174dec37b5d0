// NCCL with one rank.
#include <gmock/gmock.h>

#include "comm/reducer.h"
#include "gpu/support.h"

namespace rocket {
namespace {

TEST(GpuNccl, NcclOfOneRankChangesNothing) {
  const auto comm = make_local_comm();
  const auto reducer = make_nccl_reducer(*comm, test::gpu().index(), {.bucket = 1000});
  at::Tensor values = at::arange(12345, at::kFloat).to(test::gpu());
  const at::Tensor before = values.clone();
  for (int repeat = 0; repeat < 3; ++repeat) {
    reducer->begin(values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel()), 1);
    reducer->ready(12000, 345);
    reducer->ready(5000, 7000);
    reducer->finish(*comm);
    EXPECT_TRUE(at::equal(values, before));
  }
}

}  // namespace
}  // namespace rocket
