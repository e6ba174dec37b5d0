#include "pipeline/device_agreement.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace rocket {
namespace {

using testing::HasSubstr;

PlacedDevice gpu(const std::string& host, const std::string& unit) {
  return {{host, "boot"}, {"cuda", unit}};
}

PlacedDevice cpu(const std::string& host) {
  return {{host, "boot"}, {"cpu", ""}};
}

TEST(DeviceAgreement, RanksShareAGpuIfItsUnitIsTheSame) {
  EXPECT_EQ(note_on_shared_gpus({gpu("a", "1"), gpu("a", "2"), gpu("b", "1")}), "");
  // Each rank may see one GPU only, the same number for all of them.
  EXPECT_EQ(note_on_shared_gpus({cpu("a"), cpu("a")}), "") << "a CPU may be shared";
  EXPECT_THAT(note_on_shared_gpus({gpu("a", "1"), gpu("b", "1"), gpu("b", "2"), gpu("b", "1")}),
              HasSubstr("3 ranks of b share 2 GPUs"));
  EXPECT_THAT(note_on_shared_gpus({gpu("a", "1"), gpu("a", "1")}), HasSubstr("2 ranks of a share 1 GPU;"));
}

TEST(DeviceAgreement, ContainersOfOneNameAreNodesOfTheirOwn) {
  const RankDevice first{"cuda", "0"};  // a driver that knows no UUIDs
  EXPECT_EQ(note_on_shared_gpus({{{"worker", "one"}, first}, {{"worker", "other"}, first}}), "");
  EXPECT_THAT(note_on_shared_gpus({{{"worker", "one"}, first}, {{"worker", "one"}, first}}),
              HasSubstr("2 ranks of worker share 1 GPU"));
}

std::string message(const std::vector<PlacedDevice>& ranks) {
  try {
    require_one_kind(ranks, "auto");
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    return e.what();
  }
  return "";
}

TEST(DeviceAgreement, RanksWithoutAGpuAreNamed) {
  EXPECT_EQ(message({gpu("a", "1"), gpu("b", "1")}), "");
  EXPECT_THAT(message({gpu("a", "1"), gpu("a", "2"), cpu("b")}),
              HasSubstr("ranks 0, 1 on a would compute on cuda, and rank 2 on b on cpu"));
  std::vector<PlacedDevice> many(8, gpu("a", "1"));
  for (int i = 0; i < 6; ++i) many.push_back(cpu(i < 3 ? "b" : "c"));
  EXPECT_THAT(message(many), HasSubstr("ranks 0, 1, 2, 3, ... (8 ranks) on a would compute on cuda, and "
                                       "ranks 8, 9, 10, 11, ... (6 ranks) on b and other nodes on cpu"));
}

TEST(DeviceAgreement, AllRanksThrowWhereOneCannotUseItsDevice) {
  run_on_threads(3, [](Comm& comm) {
    agree_on_device(comm, "cpu", comm.rank(), SharedGpu::refused);
    const std::string setting = comm.rank() == 1 ? "none" : "cpu";
    EXPECT_THROW(agree_on_device(comm, setting, comm.rank(), SharedGpu::allowed), Error);
  });
}

}  // namespace
}  // namespace rocket
