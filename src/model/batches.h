// Batches of one rank: one after another, or side by side on its threads.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>

namespace rocket {

/// Whether a layer of `hidden` x `intermediate` is so small that a batch on each thread is worth more than
/// one batch on all of them: threads then meet once, not at every product. Only on the CPU.
bool side_by_side(std::int64_t hidden, std::int64_t intermediate, at::Device device);

/// Rows of one forward: `batch_tokens`, or less on the CPU, where batches that stay in the cache are as fast.
std::int64_t rows_of_batch(std::int64_t batch_tokens, bool side_by_side, at::Device device);

/// Calls work(0) .. work(count - 1), in inference mode. `side_by_side`: on all threads of the rank at once,
/// in any order. What `work` throws is thrown here.
void for_each_batch(std::int64_t count, bool side_by_side, const std::function<void(std::int64_t)>& work);

}  // namespace rocket
