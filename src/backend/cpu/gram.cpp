#include "kernels/gram.h"

#include "backend/cpu/cpu_backend.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

template <class T>
void multiply(void (*kernel)(const GramBlock<T>&), const at::Tensor& a, const at::Tensor& b,
              at::Tensor& out) {
  const at::Tensor scratch = at::empty({gram_scratch(a.size(0))}, at::kDouble);
  kernel({a.size(1), a.const_data_ptr<T>(), a.size(0), b.const_data_ptr<T>(), b.size(0),
          out.data_ptr<double>(), scratch.data_ptr<double>()});
}

/// What is on and above the diagonal's panels, below it too.
void mirror(at::Tensor& square) {
  const std::int64_t n = square.size(0);
  double* data = square.data_ptr<double>();
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) data[i * n + j] = data[j * n + i];
  }
}

}  // namespace

/// A piece of so many rows stays in a core's second cache while the others pass by.
std::int64_t CpuBackend::gram_rows() const {
  return 384;
}

at::Tensor CpuBackend::gram(const at::Tensor& a, const at::Tensor& b) const {
  at::Tensor out = at::empty({a.size(0) * kGramPanel, b.size(0) * kGramPanel}, at::kDouble);
  if (a.scalar_type() == at::kDouble) {
    multiply(kernels().gram_of_doubles, a, b, out);
  } else {
    multiply(kernels().gram_of_floats, a, b, out);
  }
  if (a.const_data_ptr() == b.const_data_ptr()) mirror(out);
  return out;
}

}  // namespace rocket
