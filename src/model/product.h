// Matrix products whose bits do not depend on the company of a row or on the number of threads.
#pragma once

#include <ATen/ATen.h>

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

/// x W^T. In float32 on the CPU, where nothing requires a gradient, a row's bits are a function of that row
/// and the weight: neither other rows nor threads change them. With gradients: for four rows or more, as far
/// as the matrix library keeps to it.
at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI);

}  // namespace rocket
