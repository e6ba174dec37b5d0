// Attention of sequences of one length, through LibTorch.
#pragma once

#include <optional>

#include "backend/attention.h"

namespace rocket {

/// softmax(scores) v of q [n, H, L, K], k and v [n, H, M, K], with the scores of `rule`. Which keys a row
/// sees says `allowed` (bool, spreads to [n, H, L, M]); without it `causal`. Returns [n, H, L, K].
at::Tensor weighted_values(const at::Tensor& q_nHLK, const at::Tensor& k_nHMK, const at::Tensor& v_nHMK,
                           const std::optional<at::Tensor>& allowed, bool causal, const AttentionRule& rule);

/// q [n, H, L, K] (the last L positions), k and v [n, G, M, K]. Returns [n, L, H * K].
at::Tensor attend_batch(const at::Tensor& q_nHLK, const at::Tensor& k_nGMK, const at::Tensor& v_nGMK,
                        const AttentionRule& rule);

}  // namespace rocket
