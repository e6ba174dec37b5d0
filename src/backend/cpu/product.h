// Matrix products whose bits do not depend on the company of a row or on the number of threads.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "backend/weights.h"

namespace rocket {

/// Whether the kernels multiply packed weights of this type faster than LibTorch, which uses the matrix tiles
/// of cores that have them.
bool kernels_multiply_faster(at::ScalarType type);

/// out [M, N] = left [M, K] right [K, N], added to what stands there where `add`: all float32 or all bfloat16
/// on the CPU, out's and right's rows without gaps between their elements. Bits as those of LinearWeight.
void multiply_into(const at::Tensor& out_MN, const at::Tensor& left_MK, const at::Tensor& right_KN, bool add);

/// Room that a thread uses again for both sides of its products.
struct ProductScratch {
  at::Tensor left, right;
};

/// A weight beside which, where `pack`, a copy is kept as the kernels read it, so that no product has to make
/// one: of float32 and bfloat16. Products of bfloat16 go through LibTorch without it. In float32, and in
/// bfloat16 if packed, a row's bits are a function of that row and the weight: neither other rows nor threads
/// change them. Elsewhere as far as the matrix library keeps to it.
LinearWeight packed_weight(at::Tensor weight_OI, bool pack);

/// x W^T, [T, outputs] in x's type; x's gradient is left out.
at::Tensor times(const LinearWeight& weight, const at::Tensor& x_TI);
/// The gradient of x from that of times(x); added to `dx_TI` where that is defined.
void add_gradient(const LinearWeight& weight, const at::Tensor& dy_TO, at::Tensor& dx_TI);

// What follows is for `x` of the weight's type; sums are float32.
/// x W^T, [T, outputs].
at::Tensor sums(const LinearWeight& weight, const at::Tensor& x_TI);
/// Serial: the columns [first, first + count) of x W^T, written to `out` with a distance of `count`. `first`
/// is a multiple of kPanel.
void columns(const LinearWeight& weight, const at::Tensor& x_TI, std::int64_t first, std::int64_t count,
             float* out, ProductScratch& scratch);
/// Serial: out [rows, inputs] = x [rows, count], rounded to the weight's type, times the weight's rows
/// [first, first + count), added to `out` where `add`.
void add_rows(const LinearWeight& weight, const float* x, std::int64_t rows, std::int64_t first,
              std::int64_t count, float* out, bool add, ProductScratch& scratch);

}  // namespace rocket
