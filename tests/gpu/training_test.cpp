// Training on the GPU: the CPU's curve, and the same from a checkpoint.
#include <gmock/gmock.h>

#include "comm/reducer.h"
#include "gpu/support.h"
#include "training/trainer.h"

namespace rocket {
namespace {

using test::Seen;

Mixture mixture_on(at::Device device) {
  Mixture on_cpu = test::lab_mixture(2);
  std::vector<LoraAdapter> experts;
  for (const std::string name : test::reference()["experts"])
    experts.push_back(load_adapter("tests/lab/bank/" + name, test::lab_base().modules(), at::kFloat, device));
  Mixture mixture = Mixture::assemble(experts, test::lab_base().modules(), {.top_k = 2}, device);
  mixture.flat().copy_(on_cpu.flat());
  return mixture;
}

Seen train(const Decoder& decoder, TrainingOptions options, const Snapshot* resume = nullptr) {
  options.learning_rate = 1e-4;
  options.epochs = 5;
  options.global_batch = 3;
  options.micro_batch_tokens = 120;
  options.lora_dropout = 0.1;
  Seen seen;
  const auto comm = make_local_comm();
  const auto reducer = make_host_reducer();
  Mixture mixture = mixture_on(decoder.device());
  rocket::train(*comm, *reducer, decoder, mixture, test::lab_examples(), options, resume, seen.hooks());
  return seen;
}

void expect_curve(at::ScalarType type, double bound) {
  for (const bool recompute : {false, true}) {
    const TrainingOptions options{.balance_coefficient = 0.1, .recompute_layers = recompute};
    const Seen expected = train(test::lab_base(), options),
               found = train(test::lab_base_on_gpu(type), options);
    ASSERT_EQ(found.log.size(), expected.log.size());
    double worst_loss = 0, worst_norm = 0;
    for (std::size_t s = 0; s < found.log.size(); ++s) {
      worst_loss = std::max(worst_loss, test::relative(found.log[s].loss, expected.log[s].loss));
      worst_norm =
          std::max(worst_norm, test::relative(found.log[s].gradient_norm, expected.log[s].gradient_norm));
    }
    std::cout << at::toString(type) << ": worst relative difference of loss " << worst_loss
              << ", of gradient norm " << worst_norm << "\n";
    EXPECT_LT(worst_loss, bound);
  }
}

TEST(GpuTraining, FollowsTheCpusCurveInFloat32) {
  expect_curve(at::kFloat, 1e-4);
}
TEST(GpuTraining, FollowsTheCpusCurveInBfloat16) {
  expect_curve(at::kBFloat16, 0.05);
}

TEST(GpuTraining, GoesOnFromACheckpoint) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const Seen whole = train(test::lab_base_on_gpu(type), {.checkpoint_every = 4});
    const Seen rest = train(test::lab_base_on_gpu(type), {.checkpoint_every = 4}, &whole.snapshots[0]);
    const Snapshot &expected = whole.snapshots.back(), &found = rest.snapshots.back();
    ASSERT_EQ(found.step, expected.step);
    EXPECT_EQ(found.parameters, expected.parameters) << at::toString(type) << ": the same bits";
    EXPECT_EQ(found.second_moment, expected.second_moment);
  }
}

}  // namespace
}  // namespace rocket
