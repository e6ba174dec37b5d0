// A sum over pieces of work that has the same bits for any number of ranks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/comm.h"

namespace rocket {

/// The leaves [first, first + count) of `leaves` that a rank takes.
struct LeafShare {
  std::int64_t first = 0, count = 0;
};
LeafShare leaf_share(std::int64_t leaves, int rank, int ranks);

/// Adds up vectors, one of each leaf, along a binary tree over the leaves' numbers: the block of 2^l leaves
/// from i 2^l on is the sum of its two halves. The order of the additions thus depends on the number of
/// leaves alone, not on who computed which. A rank keeps the sums of whole blocks only: at most two for each
/// level.
class FixedOrderSum {
 public:
  FixedOrderSum(std::int64_t leaves, std::size_t count) : leaves_(leaves), count_(count) {}

  /// The leaves of a rank come in ascending order and follow each other.
  void add(std::int64_t leaf, std::span<const float> values);

  /// Collective. Every leaf has been added on one rank; `total` (zeros where there is no leaf) has `count`
  /// values. Each rank adds up a slice of all.
  void finish(Comm& comm, std::span<float> total);

 private:
  struct Block {
    std::int64_t level = 0, index = 0;
    std::vector<float> sum;
  };

  std::int64_t leaves_;
  std::size_t count_;
  std::vector<Block> blocks_;
};

}  // namespace rocket
