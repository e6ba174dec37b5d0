#include <algorithm>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/product.h"
#include "backend/threads.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

/// work(row), on all threads where there is enough to do.
template <class Work>
void for_rows(std::int64_t rows, std::int64_t width, const Work& work) {
  constexpr std::int64_t kElementsPerBand = 1 << 16;
  const std::int64_t bands = std::clamp<std::int64_t>(rows * width / kElementsPerBand, 1, rows);
  on_threads(bands, [&](std::int64_t i) {
    for (std::int64_t row = rows * i / bands; row < rows * (i + 1) / bands; ++row) work(row);
  });
}

/// Encoders in bfloat16 go through LibTorch.
bool in_float(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat;
}

SumNorm sum_norm_of(const NormWeights& norm) {
  return {.weight = norm.weight_D.const_data_ptr<float>(),
          .shift = norm.bias_D.const_data_ptr<float>(),
          .eps = static_cast<float>(norm.eps),
          .width = norm.weight_D.numel()};
}

}  // namespace

AffineWeights CpuBackend::prepare_affine(at::Tensor weight_OI, at::Tensor bias_O) const {
  const bool pack_it = in_float(weight_OI);
  return {packed_weight(std::move(weight_OI), pack_it), std::move(bias_O)};
}

at::Tensor CpuBackend::affine(const AffineWeights& weights, const at::Tensor& x_TI) const {
  if (!in_float(x_TI)) return TorchBackend::affine(weights, x_TI);
  at::Tensor out_TO = times(weights.weight_OI, x_TI);
  return weights.bias_O.defined() ? out_TO.add_(weights.bias_O) : out_TO;
}

at::Tensor CpuBackend::affine_gelu(const AffineWeights& weights, const at::Tensor& x_TI, bool exact) const {
  if (!in_float(x_TI)) return TorchBackend::affine_gelu(weights, x_TI, exact);
  at::Tensor out_TO = times(weights.weight_OI, x_TI);
  const std::int64_t width = out_TO.size(1);
  float* out = out_TO.mutable_data_ptr<float>();
  const float* bias = weights.bias_O.const_data_ptr<float>();
  const auto gelu = exact ? kernels().gelu_of_sum : kernels().gelu_tanh_of_sum;
  for_rows(out_TO.size(0), width, [&](std::int64_t row) { gelu(out + row * width, bias, width); });
  return out_TO;
}

at::Tensor CpuBackend::affine_norm(const AffineWeights& weights, const at::Tensor& x_TI,
                                   const at::Tensor& residual_TO, const NormWeights& norm) const {
  if (!in_float(x_TI)) return TorchBackend::affine_norm(weights, x_TI, residual_TO, norm);
  at::Tensor out_TO = times(weights.weight_OI, x_TI);
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

at::Tensor CpuBackend::embedded(const EmbeddingWeights& weights, const at::Tensor& ids_T,
                                const at::Tensor& positions_T) const {
  if (!in_float(weights.words_VD)) return TorchBackend::embedded(weights, ids_T, positions_T);
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
