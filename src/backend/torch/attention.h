// Attention of sequences of one length, through LibTorch.
#pragma once

#include "backend/attention.h"

namespace rocket {

/// q [n, H, L, K] (the last L positions), k and v [n, G, M, K]. Returns [n, L, H * K].
at::Tensor attend_batch(const at::Tensor& q_nHLK, const at::Tensor& k_nGMK, const at::Tensor& v_nGMK,
                        const Mask& mask);

}  // namespace rocket
