#include "model/encoder_layers.h"

#include <algorithm>

#include "kernels/kernels.h"
#include "model/threads.h"

namespace rocket {
namespace {

at::Tensor layer_norm(const at::Tensor& x_TD, const NormWeights& norm) {
  return at::layer_norm(x_TD, norm.weight_D.sizes(), norm.weight_D, norm.bias_D, norm.eps);
}

/// work(row), on all threads where there is enough to do.
template <class Work>
void for_rows(std::int64_t rows, std::int64_t width, const Work& work) {
  constexpr std::int64_t kElementsPerBand = 1 << 16;
  const std::int64_t bands = std::clamp<std::int64_t>(rows * width / kElementsPerBand, 1, rows);
  on_threads(bands, [&](std::int64_t i) {
    for (std::int64_t row = rows * i / bands; row < rows * (i + 1) / bands; ++row) work(row);
  });
}

bool on_kernels(const AffineWeights& weights, const at::Tensor& x_TI) {
  return rocket::on_kernels(x_TI) && rocket::on_kernels(weights.weight_OI.tensor());
}

SumNorm sum_norm_of(const NormWeights& norm) {
  return {.weight = norm.weight_D.const_data_ptr<float>(),
          .shift = norm.bias_D.const_data_ptr<float>(),
          .eps = static_cast<float>(norm.eps),
          .width = norm.weight_D.numel()};
}

}  // namespace

at::Tensor affine(const AffineWeights& weights, const at::Tensor& x_TI) {
  if (!on_kernels(weights, x_TI)) return at::linear(x_TI, weights.weight_OI.tensor(), weights.bias_O);
  at::Tensor out_TO = weights.weight_OI.times(x_TI);
  return weights.bias_O.defined() ? out_TO.add_(weights.bias_O) : out_TO;
}

at::Tensor affine_gelu(const AffineWeights& weights, const at::Tensor& x_TI, bool exact) {
  if (!on_kernels(weights, x_TI)) return at::gelu(affine(weights, x_TI), exact ? "none" : "tanh");
  at::Tensor out_TO = weights.weight_OI.times(x_TI);
  const std::int64_t width = out_TO.size(1);
  float* out = out_TO.mutable_data_ptr<float>();
  const float* bias = weights.bias_O.const_data_ptr<float>();
  const auto gelu = exact ? kernels().gelu : kernels().gelu_tanh;
  for_rows(out_TO.size(0), width, [&](std::int64_t row) { gelu(out + row * width, bias, width); });
  return out_TO;
}

at::Tensor affine_norm(const AffineWeights& weights, const at::Tensor& x_TI, const at::Tensor& residual_TO,
                       const NormWeights& norm) {
  if (!on_kernels(weights, x_TI)) return layer_norm(affine(weights, x_TI) + residual_TO, norm);
  at::Tensor out_TO = weights.weight_OI.times(x_TI);
  SumNorm sum = sum_norm_of(norm);
  sum.b = weights.bias_O.const_data_ptr<float>();
  float* out = out_TO.mutable_data_ptr<float>();
  const float* residual = residual_TO.const_data_ptr<float>();
  for_rows(out_TO.size(0), sum.width, [&](std::int64_t row) {
    SumNorm one = sum;
    one.a = one.out = out + row * sum.width;
    one.c = residual + row * sum.width;
    kernels().sum_norm(one);
  });
  return out_TO;
}

at::Tensor embedded(const EmbeddingWeights& weights, const at::Tensor& ids_T, const at::Tensor& positions_T) {
  if (!rocket::on_kernels(weights.words_VD))
    // transformers adds the type embedding to the words before the positions.
    return layer_norm(weights.words_VD.index_select(0, ids_T) + weights.type_D +
                          weights.positions_PD.index_select(0, positions_T),
                      weights.norm);
  SumNorm sum = sum_norm_of(weights.norm);
  sum.b = weights.type_D.const_data_ptr<float>();
  at::Tensor out_TD = at::empty({ids_T.size(0), sum.width}, weights.words_VD.options());
  float* out = out_TD.mutable_data_ptr<float>();
  const float *words = weights.words_VD.const_data_ptr<float>(),
              *positions = weights.positions_PD.const_data_ptr<float>();
  const auto *ids = ids_T.const_data_ptr<std::int64_t>(),
             *places = positions_T.const_data_ptr<std::int64_t>();
  for_rows(ids_T.size(0), sum.width, [&](std::int64_t row) {
    SumNorm one = sum;
    one.a = words + ids[row] * sum.width;
    one.c = positions + places[row] * sum.width;
    one.out = out + row * sum.width;
    kernels().sum_norm(one);
  });
  return out_TD;
}

}  // namespace rocket
