// Attention over packed ragged rows: no sequence is padded.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "model/rows.h"

namespace rocket {

/// What a row attends to: all of its sequence, or itself and what stands before it, the last `window` of
/// these where that is not 0.
struct Mask {
  bool causal = true;
  std::int64_t window = 0;
};

/// Rows in the order of their sequences' lengths: LibTorch takes sequences of one length in one call.
struct LengthGroups {
  std::vector<std::int64_t> lengths, rows;  // of each group: the length, and the rows of all its sequences
  at::Tensor order_T, inverse_T;            // which row stands where in the groups, and back
};

/// The rows of a forward as attention takes them. What LibTorch's way needs is made at the first layer and
/// goes to the device once. The rows must live on; copies share.
class AttentionRows {
 public:
  explicit AttentionRows(const PackedRows& rows) : rows_(rows), groups_(std::make_shared<LengthGroups>()) {}
  const PackedRows& packed() const { return rows_; }
  const LengthGroups& by_length() const;

 private:
  const PackedRows& rows_;
  std::shared_ptr<LengthGroups> groups_;
};

/// Attention within each sequence of the batch: q [T, H, K], k and v [T, G, K] with G key heads (H a multiple
/// of G). Returns [T, H * K].
at::Tensor attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                  const at::Tensor& v_TGK, const Mask& mask);

/// Keys and values as the kernels read them, float32: one sequence's, of one layer.
struct KeysAndValues {
  float* keys = nullptr;    // [G, capacity / kPanel, K, kPanel]: see kernels' key_place
  float* values = nullptr;  // [G, capacity, K], kReadAhead floats behind them
  std::int64_t capacity = 0;
};

/// Rows of one sequence behind `cached` earlier ones.
struct SequenceRows {
  std::int64_t first_row = 0, fresh = 0, cached = 0;
};

/// On kernels: writes the rows' keys and values (k or v: [T, G, K], float32 or bfloat16) behind the cached
/// ones of each sequence.
void write_keys(const std::vector<SequenceRows>& sequences, const at::Tensor& k_TGK, const at::Tensor& v_TGK,
                const std::vector<KeysAndValues>& to);

/// On kernels: attention of the rows of some sequences, each with its own keys and values. Returns [T, H *
/// K] in q's type.
at::Tensor attend_sequences(const std::vector<SequenceRows>& sequences,
                            const std::vector<KeysAndValues>& stored, const at::Tensor& q_THK,
                            std::int64_t key_heads, const Mask& mask);

/// Through LibTorch: q [n, H, L, K] (the last L positions), k and v [n, G, M, K]. Returns [n, L, H * K].
at::Tensor attend_batch(const at::Tensor& q_nHLK, const at::Tensor& k_nGMK, const at::Tensor& v_nGMK,
                        const Mask& mask);

}  // namespace rocket
