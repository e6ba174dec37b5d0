// Frozen weights, as a backend has prepared them.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace rocket {

/// A weight of a linear layer. `packed` is the backend's own second copy, undefined where it keeps none.
struct LinearWeight {
  at::Tensor values_OI, packed;

  std::int64_t outputs() const { return values_OI.size(0); }
  std::int64_t inputs() const { return values_OI.size(1); }
};

/// The weight of a head. Its logits are scale times the products, of that cap * tanh(logit / cap) where there
/// is a cap.
struct HeadWeight : LinearWeight {
  double scale = 1, cap = 0;

  bool changes_logits() const { return scale != 1 || cap != 0; }
};

/// A linear layer with a bias, which is undefined where there is none.
struct AffineWeights {
  LinearWeight weight_OI;
  at::Tensor bias_O;
};

struct NormWeights {
  at::Tensor weight_D, bias_D;
  double eps = 0;
};

/// What the rows of a text become first: words, types and positions.
struct EmbeddingWeights {
  at::Tensor words_VD, positions_PD, type_D;
  NormWeights norm;
};

}  // namespace rocket
