// Flash attention of all sequences in one launch, as LibTorch's CUDA half has it.
#pragma once

#include "backend/attention.h"

namespace rocket {

/// Sequences of queries and of keys. Sequence s has the rows row_starts[s] .. row_starts[s + 1] of q, and of
/// the keys those from key_starts[s] on: used_S[s] of them where that is defined, else those before
/// key_starts[s + 1]. Its queries are the last of its positions.
struct FlashSequences {
  at::Tensor row_starts, key_starts;          // int32 [S + 1], on the device
  at::Tensor used_S;                          // int32
  std::int64_t most_rows = 0, most_keys = 0;  // of a sequence
};

/// Whether the kernels know the type and the size of the heads: 16 bits, at most 256 values, a multiple of 8.
bool flash_knows(at::ScalarType type, std::int64_t head_dim);

/// q [T, H, K], k and v [P, G, K] -> [T, H * K]; differentiable where `used_S` is not defined. Scores have no
/// cap: LibTorch's kernels know none.
at::Tensor flash_attention(const FlashSequences& sequences, const at::Tensor& q_THK, const at::Tensor& k_PGK,
                           const at::Tensor& v_PGK, const AttentionRule& rule);

}  // namespace rocket
