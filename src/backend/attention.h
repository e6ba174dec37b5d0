// What attention over packed ragged rows is told: no sequence is padded.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/rows.h"

namespace rocket {

/// What a row attends to: all of its sequence, or itself and what stands before it; where `window` is not 0,
/// only what is less than `window` rows away. And what softmax takes of the products of queries and keys:
/// scale times them, of that cap * tanh(score / cap) where there is a cap.
struct AttentionRule {
  bool causal = true;
  std::int64_t window = 0;
  double scale = 0;  // 0: 1 / sqrt(K)
  double cap = 0;    // 0: none
};

/// Rows of one sequence behind `cached` earlier ones.
struct SequenceRows {
  std::int64_t first_row = 0, fresh = 0, cached = 0;
};

/// Rows in the order of their sequences' lengths: LibTorch takes sequences of one length in one call.
struct LengthGroups {
  std::vector<std::int64_t> lengths, rows;  // of each group: the length, and the rows of all its sequences
  at::Tensor order_T, inverse_T;            // which row stands where in the groups, and back
};

/// Where sequences begin, for attention that takes them all in one call.
struct RowStarts {
  at::Tensor first_rows;       // int32 [S + 1]
  std::int64_t most_rows = 0;  // of a sequence
};

/// The rows of a forward as attention takes them. What a backend needs of them is made at the first layer and
/// goes to the device once. The rows must live on; copies share.
class AttentionRows {
 public:
  explicit AttentionRows(const PackedRows& rows) : rows_(rows), made_(std::make_shared<Made>()) {}
  const PackedRows& packed() const { return rows_; }
  const LengthGroups& by_length() const;
  const RowStarts& starts() const;

 private:
  struct Made {
    LengthGroups groups;
    RowStarts starts;
  };

  const PackedRows& rows_;
  std::shared_ptr<Made> made_;
};

}  // namespace rocket
