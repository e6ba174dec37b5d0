// Sums of gradients over NCCL, on as many ranks as mpirun starts: test_nccl_ranks. Says "passed", or ends
// with another code than 0.
#include <ATen/ATen.h>

#include <iostream>
#include <random>

#include "base/error.h"
#include "comm/mpi_comm.h"
#include "comm/placement.h"
#include "comm/reducer.h"
#include "model/device.h"
#include "unit/training/support.h"

namespace rocket {
namespace {

/// Whole numbers: their sums are exact in any order.
at::Tensor values_of(int rank, std::int64_t count) {
  return (at::arange(count, at::kFloat).remainder(1009) * (rank + 1)) + rank;
}

/// Pieces of [0, count) in an order of this rank's own; the last tenth is left to finish().
void hand_over(Reducer& reducer, std::size_t count, int rank) {
  std::mt19937 random(static_cast<unsigned>(rank));
  std::vector<std::size_t> cuts{0};
  while (cuts.back() < count - count / 10)
    cuts.push_back(std::min(count - count / 10, cuts.back() + 1 + random() % 3000));
  std::vector<std::size_t> order(cuts.size() - 1);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::shuffle(order, random);
  for (const std::size_t i : order) reducer.ready(cuts[i], cuts[i + 1] - cuts[i]);
}

void check_sums(Comm& comm, Reducer& reducer, at::Device device) {
  for (const std::int64_t count : {1, 999, 100'000, 5'000'000}) {
    at::Tensor sum = values_of(comm.rank(), count).to(device), expected = at::zeros({count});
    for (int rank = 0; rank < comm.size(); ++rank) expected += values_of(rank, count);
    reducer.begin(sum.mutable_data_ptr<float>(), static_cast<std::size_t>(count), comm.size());
    hand_over(reducer, static_cast<std::size_t>(count), comm.rank());
    reducer.finish(comm);
    if (!at::equal(sum.cpu(), expected)) fail_internal("the sum of {} values is wrong", count);
  }
}

/// The lab's mixture, trained on all ranks and on each alone.
std::vector<StepLog> trained(Comm& comm, Reducer& reducer, const Decoder& decoder) {
  std::vector<LoraAdapter> experts;
  for (const std::string name : test::reference()["experts"])
    experts.push_back(
        load_adapter("tests/lab/bank/" + name, decoder.modules(), at::kFloat, decoder.device()));
  Mixture mixture = Mixture::assemble(experts, decoder.modules(), {.top_k = 2}, decoder.device());
  std::vector<StepLog> log;
  const TrainingHooks hooks{.step = [&](const StepLog& step) { log.push_back(step); },
                            .checkpoint = [](const Snapshot&) {}};
  const TrainingOptions options{
      .learning_rate = 1e-4, .epochs = 4, .global_batch = 4, .micro_batch_tokens = 120};
  train(comm, reducer, decoder, mixture, test::lab_examples(), options, nullptr, hooks);
  return log;
}

void check_training(Comm& comm, Reducer& reducer, at::Device device) {
  const Decoder decoder = Decoder::load("tests/lab/base", at::kFloat, device);
  const auto together = trained(comm, reducer, decoder);
  const auto alone = trained(*make_local_comm(), *make_host_reducer(), decoder);
  for (std::size_t s = 0; s < together.size(); ++s) {  // root alone has a log
    const double difference = test::relative(together[s].loss, alone[s].loss);
    if (!(difference < 1e-5)) fail_internal("step {}: the loss differs by {}", s + 1, difference);
  }
}

void check() {
  const auto comm = make_mpi_comm();
  const Placement place = place_ranks(*comm, cores_of_process());
  configure_compute(place.threads);
  const at::Device device = choose_device("cuda", place.rank_on_node);
  const auto reducer = make_nccl_reducer(*comm, device.index(), {.bucket = 4096});
  agree(*comm, [&] { check_sums(*comm, *reducer, device); });
  check_training(*comm, *reducer, device);
  if (comm->is_root())
    std::cout << "NCCL " << nccl_version() << ", " << comm->size() << " ranks: passed" << std::endl;
}

}  // namespace
}  // namespace rocket

int main() {
  try {
    rocket::check();
  } catch (const rocket::Error& e) {
    std::cerr << "test_nccl_ranks: " << e.what() << std::endl;
    return static_cast<int>(e.code());
  }
}
