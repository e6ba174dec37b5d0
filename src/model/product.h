// Matrix products whose bits do not depend on the company of a row or on the number of threads.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

namespace rocket {

/// While it lives, the matrix library computes in the calling thread alone: with several threads it cuts a
/// product into pieces, and small pieces are summed in another order than large ones.
class SerialMatrixLibrary {
 public:
  SerialMatrixLibrary();
  ~SerialMatrixLibrary();
  SerialMatrixLibrary(const SerialMatrixLibrary&) = delete;
  SerialMatrixLibrary& operator=(const SerialMatrixLibrary&) = delete;

 private:
  int before_ = 0;
};

/// Whether rocket's own kernels compute with x: float32 on the CPU, and no gradient flows through it.
bool on_kernels(const at::Tensor& x);

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

/// A frozen weight of a linear layer, kept as the kernels read it where that pays. On the CPU in float32, and
/// in bfloat16 if packed, a row's bits are a function of that row and the weight: neither other rows nor
/// threads change them. Elsewhere as far as the matrix library keeps to it.
class LinearWeight {
 public:
  LinearWeight() = default;
  /// `packed`: keeps a second copy of a float32 or bfloat16 weight on the CPU, so that no product has to make
  /// one. Products of bfloat16 go through LibTorch without it.
  LinearWeight(at::Tensor weight_OI, bool packed);

  const at::Tensor& tensor() const { return weight_OI_; }
  std::int64_t outputs() const { return weight_OI_.size(0); }
  std::int64_t inputs() const { return weight_OI_.size(1); }
  /// x W^T, [T, outputs] in x's type; x's gradient is left out.
  at::Tensor times(const at::Tensor& x_TI) const;
  /// The gradient of x from that of times(x); added to `dx_TI` where that is defined.
  void add_gradient(const at::Tensor& dy_TO, at::Tensor& dx_TI) const;
  /// What follows is for float32 and bfloat16 weights on the CPU and `x` of their type; sums are float32.
  /// x W^T, [T, outputs].
  at::Tensor sums(const at::Tensor& x_TI) const;
  /// Serial: the columns [first, first + count) of x W^T, written to `out` with a distance of `count`.
  /// `first` is a multiple of kPanel.
  void columns(const at::Tensor& x_TI, std::int64_t first, std::int64_t count, float* out,
               ProductScratch& scratch) const;
  /// Serial: out [rows, inputs] = x [rows, count], rounded to the weight's type, times the weight's rows
  /// [first, first + count), added to `out` where `add`.
  void add_rows(const float* x, std::int64_t rows, std::int64_t first, std::int64_t count, float* out,
                bool add, ProductScratch& scratch) const;

 private:
  at::Tensor weight_OI_;
  at::Tensor packed_;  // undefined: packed when needed
};

/// x W^T + bias of weights that read the same x, [T, O] each; differentiable with respect to x. A bias may be
/// undefined.
std::vector<at::Tensor> apply_linears(const at::Tensor& x_TI, std::span<const LinearWeight* const> weights,
                                      std::span<const at::Tensor> bias_O);

}  // namespace rocket
