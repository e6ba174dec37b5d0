#include "model/product.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdint>

#include "model/threads.h"

namespace rocket {
namespace {

// Measured with MKL 2024.2 in its reproducible modes, one thread, K from 16 to 4096: pieces of at least 4
// rows and 12 columns have the bits of the whole product; fewer rows or columns are summed in another order.
constexpr std::int64_t kLeastRows = 4, kLeastColumns = 2;
constexpr std::int64_t kRowsPerPiece = 16, kColumnsPerPiece = 64;
constexpr std::int64_t kSerialMultiplications = 1 << 23;  // less than this is not worth a second thread

using SetThreads = int (*)(int);

/// MKL's own switch for one thread; null in a LibTorch with another matrix library.
SetThreads mkl_set_threads() {
  static const auto function = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "MKL_Set_Num_Threads_Local"));
  return function;
}

/// How a product is cut for the threads: into bands of rows, or of columns where rows are few.
struct Bands {
  bool rows = true;
  std::int64_t count = 1;
};

Bands bands_of(std::int64_t rows, std::int64_t inner, std::int64_t columns) {
  const std::int64_t threads = threads_here();
  if (threads == 1 || rows * inner * columns < kSerialMultiplications) return {};
  if (rows >= kRowsPerPiece * threads) return {true, threads};
  return {false, std::clamp<std::int64_t>(columns / kColumnsPerPiece, 1, threads)};
}

/// The part of `x` that band `index` of `count` covers along `dim`.
at::Tensor band(const at::Tensor& x, std::int64_t dim, std::int64_t index, std::int64_t count) {
  const std::int64_t begin = x.size(dim) * index / count, end = x.size(dim) * (index + 1) / count;
  return x.narrow(dim, begin, end - begin);
}

void multiply(const at::Tensor& x_TI, const at::Tensor& weight_IO, at::Tensor& out_TO) {
  const Bands bands = bands_of(x_TI.size(0), x_TI.size(1), weight_IO.size(1));
  on_threads(bands.count, [&](std::int64_t i) {
    const c10::InferenceMode inference;  // a thread's mode is its own
    const SerialMatrixLibrary serial;
    at::Tensor out = band(out_TO, bands.rows ? 0 : 1, i, bands.count);
    at::mm_out(out, bands.rows ? band(x_TI, 0, i, bands.count) : x_TI,
               bands.rows ? weight_IO : band(weight_IO, 1, i, bands.count));
  });
}

/// Rows of zeros behind x until it has `least`.
at::Tensor with_rows(const at::Tensor& x, std::int64_t least) {
  return x.size(0) >= least ? x : at::constant_pad_nd(x, {0, 0, 0, least - x.size(0)});
}

}  // namespace

SerialMatrixLibrary::SerialMatrixLibrary() {
  at::get_num_threads();  // LibTorch sets up a thread at its first question, and would undo what follows
  if (mkl_set_threads() != nullptr) before_ = mkl_set_threads()(1);
}

SerialMatrixLibrary::~SerialMatrixLibrary() {
  if (mkl_set_threads() != nullptr) mkl_set_threads()(before_);
}

at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI) {
  const bool differentiable =
      c10::GradMode::is_enabled() && (x_TI.requires_grad() || weight_OI.requires_grad());
  if (differentiable || !x_TI.device().is_cpu() || x_TI.scalar_type() != at::kFloat) {
    return at::mm(x_TI, weight_OI.t());
  }
  const at::Tensor x = with_rows(x_TI, kLeastRows), weight = with_rows(weight_OI, kLeastColumns);
  at::Tensor out_TO = at::empty({x.size(0), weight.size(0)}, x.options());
  multiply(x, weight.t(), out_TO);
  return out_TO.narrow(0, 0, x_TI.size(0)).narrow(1, 0, weight_OI.size(0));
}

}  // namespace rocket
