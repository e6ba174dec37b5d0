// Packed ragged rows: the sequences of a batch laid end to end, without padding.
//
// Legend for the letters behind tensor names: T tokens (rows), S sequences, D hidden, I inputs and O outputs
// of a linear layer, R lora_r, H heads, K head_dim, V vocabulary, N experts, P parameters.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace rocket {

/// The sequence of rows that fill up a forward, and of which nobody asks anything.
constexpr std::int64_t kNoSequence = -1;

struct PackedRows {
  at::Tensor ids_T;                     // int64
  at::Tensor positions_T;               // int64, restart at 0 with each sequence (or go on behind a cache)
  std::vector<std::int64_t> starts;     // [S + 1]: rows of sequence s are starts[s] .. starts[s + 1]
  std::vector<std::int64_t> sequences;  // [S]: the caller's index of each sequence
  TokenId least_id = 0, most_id = 0;    // of ids_T, known without asking the device

  std::int64_t tokens() const { return starts.back(); }
  std::int64_t length(std::size_t s) const { return starts[s + 1] - starts[s]; }
};

/// Those of the rows that `asked` names, ascending; a sequence may keep none.
PackedRows choose_rows(const PackedRows& rows, const std::vector<std::int64_t>& asked);

/// Rows with these ids at these positions, on `device`. `starts` and `sequences` as PackedRows has them.
PackedRows lay_out(std::span<const std::int64_t> ids, std::span<const std::int64_t> positions,
                   std::vector<std::int64_t> starts, std::vector<std::int64_t> sequences, at::Device device);

/// Lays out whole sequences, numbered 0.. in the order given.
PackedRows pack(std::span<const std::vector<TokenId>> sequences, at::Device device);

}  // namespace rocket
