// The walk of Algorithm 2: who is dropped because of whom.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/comm.h"
#include "selection/reference_rows.h"

namespace rocket {

/// Calls work(0) .. work(count - 1), in any order, maybe at once: on_threads() of model/threads.h, say.
using ForEach = std::function<void(std::int64_t count, const std::function<void(std::int64_t)>& work)>;
void one_by_one(std::int64_t count, const std::function<void(std::int64_t)>& work);

/// Takes unit vectors in walk order. One is dropped by the first reference that is near it
/// (reference_rows.h); references are those kept so far, or all seen so far. Exactly the walk record by
/// record, computed by blocks: a block against the references, of which each rank holds its share, then
/// within itself. Neither ranks, nor threads, nor how many rows come at a time change what is found. Holds
/// the references, spread over the ranks, and a block.
///
/// The vector of a text that the encoder does not read in one go says too little: texts with a long common
/// beginning would count as copies. So a row of a long text is near no other by its cosine. It is dropped by
/// the first reference with an equal text, unless the threshold drops nothing.
class NearWalk {
 public:
  enum class References { kept, seen };

  NearWalk(std::int64_t dimension, double threshold, References references, ForEach for_each = one_by_one);

  /// Collective: the same rows on all ranks. Goes on with rows_BD until they end or `most_kept` have been
  /// kept in all. Returns how many rows were taken. `long_text_B`: 0, or of a long text a number that equal
  /// texts share and no others; empty if none is long.
  std::size_t take(Comm& comm, std::span<const float> rows_BD, std::int64_t most_kept,
                   std::span<const std::int64_t> long_text_B = {});

  /// For each row taken so far, in walk order: the position in the walk of the row that dropped it, or -1.
  const std::vector<std::int64_t>& dropped_by() const { return dropped_by_; }
  std::int64_t kept() const { return kept_; }

 private:
  struct Block;

  std::size_t take_block(Comm& comm, Block block, std::int64_t most_kept);
  std::vector<std::int64_t> near_references(Comm& comm, std::span<const float> rows) const;
  void compare_within(Comm& comm, Block& block) const;
  std::size_t settle(Comm& comm, const Block& block, std::int64_t most_kept);
  std::int64_t equal_reference(std::int64_t long_text);
  void add_reference(const Comm& comm, const float* row);

  std::int64_t dimension_;
  float bar_;
  References references_;
  ForEach for_each_;
  std::int64_t reference_count_ = 0;  // over all ranks
  ReferenceRows mine_;                // of the references
  std::vector<std::int64_t> my_positions_;
  std::unordered_map<std::int64_t, std::int64_t> long_texts_;  // the position of the first of each
  std::vector<std::int64_t> dropped_by_;
  std::int64_t kept_ = 0;
};

}  // namespace rocket
