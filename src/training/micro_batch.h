// What one rank computes of a global batch.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/rows.h"
#include "text/example.h"

namespace rocket {

/// Predicted tokens of an example: its targets, less a first token of all, which nothing predicts.
std::int64_t predicted_tokens(const Example& example);

/// The global batch (indices of examples) in micro-batches of at most `max_tokens` rows, or one example: the
/// fewest, a multiple of `shares` where there are examples enough, so that each of `shares` ranks has as
/// many. Longest first, each example goes to the emptiest: they are of like size. Rows are packed without
/// padding.
std::vector<std::vector<std::int64_t>> micro_batches(const std::vector<Example>& examples,
                                                     const std::vector<std::int64_t>& batch, int shares,
                                                     std::int64_t max_tokens);

/// A micro-batch as rows of the model. The last token of an example predicts nothing and is no row.
struct MicroBatch {
  std::vector<std::int64_t> records;  // index of each sequence's example
  PackedRows rows;
  at::Tensor predicting_Q;  // rows whose next token is a target, int64
  at::Tensor targets_Q;     // those tokens, int64
};

MicroBatch lay_out(const std::vector<Example>& examples, const std::vector<std::int64_t>& chosen,
                   at::Device device);

}  // namespace rocket
