// at::parallel_for is parallel only where it is compiled with OpenMP: this file alone is
// (src/CMakeLists.txt).
#include "backend/threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>

#include "base/activity.h"

#ifndef INTRA_OP_PARALLEL
#error "compile this file with OpenMP"
#endif

namespace rocket {
namespace {

using SetThreads = int (*)(int);

/// MKL's own switch for one thread; null in a LibTorch with another matrix library.
SetThreads mkl_set_threads() {
  static const auto function = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "MKL_Set_Num_Threads_Local"));
  return function;
}

}  // namespace

std::int64_t threads_here() {
  return at::in_parallel_region() ? 1 : at::get_num_threads();
}

void on_threads(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  note_activity();
  at::parallel_for(0, std::min(count, threads_here()), 1, [&](std::int64_t, std::int64_t) {
    for (std::int64_t i = next++; i < count; i = next++) work(i);
  });
}

std::int64_t even_step(std::int64_t count, std::int64_t most, std::int64_t unit) {
  const auto ceil_divided = [](std::int64_t n, std::int64_t by) { return (n + by - 1) / by; };
  const std::int64_t rounds = ceil_divided(std::max<std::int64_t>(count, 1), most * threads_here());
  return std::max<std::int64_t>(1, ceil_divided(count, rounds * threads_here() * unit)) * unit;
}

void on_even_pieces(std::int64_t count, std::int64_t most, std::int64_t unit,
                    const std::function<void(std::int64_t, std::int64_t)>& work) {
  const std::int64_t step = even_step(count, most, unit);
  on_threads((count + step - 1) / step, [&](std::int64_t i) {
    const std::int64_t first = i * step;
    work(first, std::min(step, count - first));
  });
}

void on_row_bands(std::int64_t rows, std::int64_t width,
                  const std::function<void(std::int64_t, std::int64_t)>& work) {
  constexpr std::int64_t kElementsPerBand = 1 << 14;
  const std::int64_t bands =
      std::clamp<std::int64_t>(rows * width / kElementsPerBand, 1, std::max<std::int64_t>(1, rows));
  on_threads(bands, [&](std::int64_t i) { work(rows * i / bands, rows * (i + 1) / bands); });
}

SerialMatrixLibrary::SerialMatrixLibrary() {
  at::get_num_threads();  // LibTorch sets up a thread at its first question, and would undo what follows
  if (mkl_set_threads() != nullptr) before_ = mkl_set_threads()(1);
}

SerialMatrixLibrary::~SerialMatrixLibrary() {
  if (mkl_set_threads() != nullptr) mkl_set_threads()(before_);
}

}  // namespace rocket
