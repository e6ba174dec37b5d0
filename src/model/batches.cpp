#include "model/batches.h"

#include <c10/core/InferenceMode.h>

#include "backend/threads.h"

namespace rocket {

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
