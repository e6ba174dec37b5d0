// The head of a language model: from hidden states to the vocabulary, never as a [tokens, V] tensor.
#pragma once

#include <ATen/ATen.h>

#include <array>

#include "model/product.h"

namespace rocket {

class Head {
 public:
  Head() = default;
  /// On the CPU sums are taken in float32, of bfloat16 values where that is the weight's type, which
  /// is then packed in any case. `packed`: see LinearWeight.
  Head(at::Tensor weight_VD, bool packed);

  /// [T, V] float32.
  at::Tensor logits(const at::Tensor& hidden_TD) const;
  /// -log p of `targets_T` (int64) under the rows, [T] float32, natural log; differentiable with respect to
  /// `hidden_TD`.
  at::Tensor nll(const at::Tensor& hidden_TD, const at::Tensor& targets_T) const;
  /// The largest logit's id of each row, [T] int64 on the CPU; the lowest id on a tie.
  at::Tensor best(const at::Tensor& hidden_TD) const;

 private:
  /// {nll [T], its gradient with respect to each row [T, D] where `differentiable`}.
  std::array<at::Tensor, 2> nll_through_libtorch(const at::Tensor& hidden_TD, const at::Tensor& targets_T,
                                                 bool differentiable) const;

  /// Whether the kernels compute, and rows as they take them.
  bool on_kernels() const;
  at::Tensor in_own_type(const at::Tensor& hidden_TD) const;

  LinearWeight weight_;  // on the CPU float32 or bfloat16
};

}  // namespace rocket
