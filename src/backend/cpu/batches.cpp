#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "backend/threads.h"

namespace rocket {

bool CpuBackend::side_by_side(std::int64_t hidden, std::int64_t intermediate) const {
  constexpr std::int64_t small_weight = 1 << 20;
  return hidden * intermediate <= small_weight;
}

/// Measured: a small model's activations of more rows leave the second cache, and gain nothing; a larger
/// one's have left it anyway, and its weights are read and laid out once a forward.
std::int64_t CpuBackend::rows_of_batch(std::int64_t batch_tokens, bool side_by_side) const {
  constexpr std::int64_t rows_of_small = 720, rows_per_thread = 2048;
  return std::min(batch_tokens, side_by_side ? rows_of_small : rows_per_thread * threads_here());
}

}  // namespace rocket
