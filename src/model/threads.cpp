// at::parallel_for is parallel only where it is compiled with OpenMP: this file alone is
// (src/CMakeLists.txt).
#include "model/threads.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#ifndef INTRA_OP_PARALLEL
#error "compile this file with OpenMP"
#endif

namespace rocket {

std::int64_t threads_here() {
  return at::in_parallel_region() ? 1 : at::get_num_threads();
}

void on_threads(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  at::parallel_for(0, std::min(count, threads_here()), 1, [&](std::int64_t, std::int64_t) {
    for (std::int64_t i = next++; i < count; i = next++) work(i);
  });
}

}  // namespace rocket
