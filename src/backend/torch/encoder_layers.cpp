#include <utility>
#include <vector>

#include "backend/torch/torch_backend.h"

namespace rocket {

AffineWeights TorchBackend::prepare_affine(at::Tensor weight_OI, at::Tensor bias_O) const {
  return {{std::move(weight_OI), {}}, std::move(bias_O)};
}

at::Tensor TorchBackend::affine(const AffineWeights& weights, const at::Tensor& x_TI) const {
  return at::linear(x_TI, weights.weight_OI.values_OI, weights.bias_O);
}

at::Tensor TorchBackend::affine_gelu(const AffineWeights& weights, const at::Tensor& x_TI, bool exact) const {
  return at::gelu(affine(weights, x_TI), exact ? "none" : "tanh");
}

at::Tensor TorchBackend::affine_norm(const AffineWeights& weights, const at::Tensor& x_TI,
                                     const at::Tensor& residual_TO, const NormWeights& norm) const {
  return TorchBackend::layer_norm(affine(weights, x_TI) + residual_TO, norm);
}

/// transformers adds the type embedding to the words before the positions.
at::Tensor TorchBackend::embedded(const EmbeddingWeights& weights, const at::Tensor& ids_T,
                                  const at::Tensor& positions_T) const {
  return TorchBackend::layer_norm(weights.words_VD.index_select(0, ids_T) + weights.type_D +
                                      weights.positions_PD.index_select(0, positions_T),
                                  weights.norm);
}

at::Tensor TorchBackend::mean_rows(const at::Tensor& x_TD, const PackedRows& rows) const {
  std::vector<at::Tensor> means;
  for (std::size_t s = 0; s < rows.sequences.size(); ++s)
    means.push_back(x_TD.slice(0, rows.starts[s], rows.starts[s + 1]).to(at::kFloat).mean(0));
  return at::stack(means);
}

}  // namespace rocket
