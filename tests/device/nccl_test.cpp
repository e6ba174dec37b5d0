// Emulated GPUs that train together over the pretended NCCL: ranks are threads, each with a device of its
// own.
#include <gmock/gmock.h>

#include <mutex>

#include "base/error.h"
#include "comm/reducer.h"
#include "device/memory.h"
#include "nccl/fake_gpu.h"
#include "unit/training/support.h"

namespace rocket {
namespace {

using std::chrono::milliseconds;
using test::Seen;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

class NcclTraining : public ::testing::Test {
 protected:
  NcclTraining() {
    testing::reset_fake_gpu();
    testing::translate_memory(&emulated::for_operators);
  }
};

Mixture lab_mixture_on(const Decoder& decoder) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const Mixture on_cpu = test::lab_mixture(2);
  std::vector<LoraAdapter> experts;
  for (const std::string name : test::reference()["experts"])
    experts.push_back(
        load_adapter("tests/lab/bank/" + name, decoder.modules(), at::kFloat, decoder.device()));
  Mixture mixture = Mixture::assemble(experts, decoder.modules(), {.top_k = 2}, decoder.device());
  const at::NoGradGuard no_grad;
  mixture.flat().copy_(on_cpu.flat());
  return mixture;
}

std::vector<StepLog> trained(Comm& comm, Reducer& reducer, at::Device device) {
  const Decoder decoder = Decoder::load("tests/lab/base", at::kFloat, device);
  Mixture mixture = lab_mixture_on(decoder);
  Seen seen;
  const TrainingOptions options{.learning_rate = 1e-4,
                                .epochs = 3,
                                .global_batch = 6,
                                .micro_batch_tokens = 60,
                                .lora_dropout = 0.1,
                                .balance_coefficient = 0.1};
  train(comm, reducer, decoder, mixture, test::lab_examples(), options, nullptr, seen.hooks());
  return seen.log;
}

const std::vector<StepLog>& alone() {
  static const std::vector<StepLog> log =
      trained(*make_local_comm(), *make_host_reducer(), choose_device("emulated", 0));
  return log;
}

/// What each rank ends with; "" where it ends well.
std::vector<std::string> endings(int ranks, const std::function<void(Comm&)>& work) {
  std::vector<std::string> messages(static_cast<std::size_t>(ranks));
  run_on_threads(ranks, [&](Comm& comm) {
    try {
      work(comm);
    } catch (const Error& e) {
      messages[static_cast<std::size_t>(comm.rank())] = e.what();
    }
  });
  return messages;
}

TEST_F(NcclTraining, HasTheCurveOfOneDeviceAndSendsBucketsAheadOfTheEnd) {
  for (const int ranks : {2, 4}) {
    testing::reset_fake_gpu();
    std::vector<StepLog> together;
    const auto ends = endings(ranks, [&](Comm& comm) {
      const at::Device device = choose_device("emulated", comm.rank());
      const auto reducer = make_nccl_reducer(comm, device.index(), {.bucket = 4096});
      auto log = trained(comm, *reducer, device);
      if (comm.is_root()) together = std::move(log);
    });
    EXPECT_THAT(ends, Each(""));
    ASSERT_EQ(together.size(), alone().size());
    double worst = 0;
    for (std::size_t s = 0; s < together.size(); ++s)
      worst = std::max(worst, test::relative(together[s].loss, alone()[s].loss));
    std::cout << ranks << " ranks: worst relative difference of the loss " << worst << "\n";
    EXPECT_LT(worst, 1e-5);
    EXPECT_GT(testing::sums_of(0).size(), together.size()) << "several buckets a step";
    for (int rank = 1; rank < ranks; ++rank) EXPECT_EQ(testing::sums_of(rank), testing::sums_of(0));
  }
}

TEST_F(NcclTraining, ARankWhoseNetworkFailsIsNamedAndNobodyWaitsForEver) {
  testing::break_communicator(/*rank=*/1, /*after=*/3, ncclRemoteError);
  const auto ends = endings(2, [&](Comm& comm) {
    const at::Device device = choose_device("emulated", comm.rank());
    const auto reducer =
        make_nccl_reducer(comm, device.index(), {.bucket = 4096, .limit = milliseconds(500)});
    trained(comm, *reducer, device);
  });
  EXPECT_THAT(ends, Each(HasSubstr("rank")));
  EXPECT_THAT(ends[1], AllOf(HasSubstr("rank 1: device 1"), HasSubstr("remote process exited")));
  EXPECT_EQ(testing::aborted_communicators(), 2);
}

TEST_F(NcclTraining, ARankThatHangsEndsTheOthersInTime) {
  testing::make_rank_deaf(1);
  const auto ends = endings(2, [&](Comm& comm) {
    const at::Device device = choose_device("emulated", comm.rank());
    const auto reducer = make_nccl_reducer(comm, device.index(), {.limit = milliseconds(300)});
    trained(comm, *reducer, device);
  });
  EXPECT_THAT(ends, Each(HasSubstr("did not end within 0.3 s")));
}

TEST_F(NcclTraining, ARankWithoutADeviceIsNamedOnAll) {
  testing::refuse_device(1);
  const auto ends = endings(2, [&](Comm& comm) { make_nccl_reducer(comm, comm.rank()); });
  EXPECT_THAT(ends, Each(HasSubstr("rank 1: cudaSetDevice: invalid device ordinal")));
}

}  // namespace
}  // namespace rocket
