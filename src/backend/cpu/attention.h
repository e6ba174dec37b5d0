// Attention on kernels, over keys and values that are kept as the kernels read them.
#pragma once

#include "backend/attention.h"

namespace rocket {

/// Keys and values as the kernels read them, float32: one sequence's, of one layer.
struct KeysAndValues {
  float* keys = nullptr;    // [G, capacity / kPanel, K, kPanel]: see kernels' key_place
  float* values = nullptr;  // [G, capacity, K], kReadAhead floats behind them
  std::int64_t capacity = 0;
};

/// Writes the rows' keys and values (k or v: [T, G, K], float32 or bfloat16) behind the cached ones of each
/// sequence.
void write_keys(const std::vector<SequenceRows>& sequences, const at::Tensor& k_TGK, const at::Tensor& v_TGK,
                const std::vector<KeysAndValues>& to);

/// Attention of the rows of some sequences, each with its own keys and values. Returns [T, H * K] in q's
/// type.
at::Tensor attend_sequences(const std::vector<SequenceRows>& sequences,
                            const std::vector<KeysAndValues>& stored, const at::Tensor& q_THK,
                            std::int64_t key_heads, const AttentionRule& rule);

}  // namespace rocket
