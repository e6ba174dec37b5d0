// Batches of one rank: one after another, or side by side on its threads.
#pragma once

#include <cstdint>
#include <functional>

namespace rocket {

/// Calls work(0) .. work(count - 1), in inference mode. `side_by_side`: on all threads of the rank at once,
/// in any order. What `work` throws is thrown here.
void for_each_batch(std::int64_t count, bool side_by_side, const std::function<void(std::int64_t)>& work);

}  // namespace rocket
