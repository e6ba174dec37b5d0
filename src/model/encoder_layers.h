// The pieces of an encoder layer: linear layers with a bias and what follows them.
#pragma once

#include <ATen/ATen.h>

#include "model/product.h"

namespace rocket {

struct AffineWeights {
  LinearWeight weight_OI;
  at::Tensor bias_O;  // undefined: none, for affine() alone
};

struct NormWeights {
  at::Tensor weight_D, bias_D;
  double eps = 0;
};

/// x W^T + b.
at::Tensor affine(const AffineWeights& weights, const at::Tensor& x_TI);
/// gelu(x W^T + b). `exact`: with erf; else the tanh approximation ("gelu_new").
at::Tensor affine_gelu(const AffineWeights& weights, const at::Tensor& x_TI, bool exact);
/// LayerNorm(x W^T + b + residual).
at::Tensor affine_norm(const AffineWeights& weights, const at::Tensor& x_TI, const at::Tensor& residual_TO,
                       const NormWeights& norm);

/// What the rows of a text become first: words, types and positions.
struct EmbeddingWeights {
  at::Tensor words_VD, positions_PD, type_D;
  NormWeights norm;
};

/// LayerNorm(word + type + position).
at::Tensor embedded(const EmbeddingWeights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T);

}  // namespace rocket
