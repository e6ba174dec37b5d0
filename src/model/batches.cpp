#include "model/batches.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "model/product.h"
#include "model/threads.h"

namespace rocket {

bool side_by_side(std::int64_t hidden, std::int64_t intermediate, at::Device device) {
  constexpr std::int64_t small_weight = 1 << 20;
  return device.is_cpu() && hidden * intermediate <= small_weight;
}

std::int64_t rows_of_batch(std::int64_t batch_tokens, bool side_by_side, at::Device device) {
  // Measured: a small model's activations of more rows leave the second cache, and gain nothing; a larger
  // one's have left it anyway, and its weights are read and laid out once a forward.
  constexpr std::int64_t rows_of_small = 720, rows_per_thread = 2048;
  if (!device.is_cpu()) return batch_tokens;
  return std::min(batch_tokens, side_by_side ? rows_of_small : rows_per_thread * threads_here());
}

void for_each_batch(std::int64_t count, bool side_by_side, const std::function<void(std::int64_t)>& work) {
  const auto infer = [&](std::int64_t i) {
    const c10::InferenceMode inference;  // a thread's mode is its own
    work(i);
  };
  if (!side_by_side) {
    for (std::int64_t i = 0; i < count; ++i) infer(i);
    return;
  }
  on_threads(count, [&](std::int64_t i) {
    const SerialMatrixLibrary serial;
    infer(i);
  });
}

}  // namespace rocket
