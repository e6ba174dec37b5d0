// Seconds of one sum of gradients over ranks: mpirun -np P bench_reducer [REPEATS]. Prints one line of JSON a
// size.
#include "comm/reducer.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "comm/fixed_order_sum.h"
#include "comm/mpi_comm.h"

namespace rocket {
namespace {

template <class F>
double median_seconds(Comm& comm, int repeats, F&& work) {
  std::vector<double> samples;
  for (int i = 0; i <= repeats; ++i) {  // the first warms up
    comm.barrier();
    const auto start = std::chrono::steady_clock::now();
    work();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i > 0) samples.push_back(seconds);
  }
  std::ranges::nth_element(samples, samples.begin() + repeats / 2);
  return samples[static_cast<std::size_t>(repeats / 2)];
}

void measure(Comm& comm, std::size_t count, int repeats) {
  std::vector<float> values(count, 1.0f), total(count);
  const auto host = make_host_reducer();
  const double fast = median_seconds(comm, repeats, [&] {
    host->begin(values.data(), count, comm.size());
    host->finish(comm);
  });
  std::ranges::fill(values, 1.0f);
  // Two micro-batches a rank.
  const std::int64_t leaves = 2 * comm.size();
  const double in_order = median_seconds(comm, repeats, [&] {
    FixedOrderSum sum(leaves, count);
    const LeafShare mine = leaf_share(leaves, comm.rank(), comm.size());
    for (std::int64_t leaf = mine.first; leaf < mine.first + mine.count; ++leaf) sum.add(leaf, values);
    sum.finish(comm, total);
  });
  if (!comm.is_root()) return;
  std::cout << nlohmann::json{{"ranks", comm.size()},
                              {"megabytes", static_cast<double>(count) * 4e-6},
                              {"fast", fast},
                              {"deterministic", in_order}}
            << std::endl;
}

}  // namespace
}  // namespace rocket

int main(int argc, char** argv) {
  const auto comm = rocket::make_mpi_comm();
  // The lab's four experts of rank 16 on q and v; those of the 160M Llama; those of a Llama-2-7B.
  for (const std::size_t count : {115'000u, 2'400'000u, 33'600'000u})
    rocket::measure(*comm, count, argc > 1 ? std::atoi(argv[1]) : 5);
}
