#include "model/product.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <dlfcn.h>

#include <algorithm>

#include "kernels/kernels.h"
#include "model/backward.h"
#include "model/threads.h"

namespace rocket {
namespace {

constexpr std::int64_t kSerialMultiplications = 1 << 23;        // less than this is not worth a second thread
constexpr std::int64_t kRowsPerPiece = 120, kRowsOfTiles = 12;  // whole tiles for every instruction set
constexpr std::int64_t kColumnsPerPiece = 8 * kPanel;

using SetThreads = int (*)(int);

/// MKL's own switch for one thread; null in a LibTorch with another matrix library.
SetThreads mkl_set_threads() {
  static const auto function = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "MKL_Set_Num_Threads_Local"));
  return function;
}

float* room_for(at::Tensor& scratch, std::int64_t floats) {
  if (!scratch.defined() || scratch.numel() < floats) scratch = at::empty({floats}, at::kFloat);
  return scratch.mutable_data_ptr<float>();
}

/// Pieces of a product: bands of rows where the right side is packed, else of columns, each packed by its
/// thread.
struct Piece {
  std::int64_t first_row = 0, rows = 0, first_column = 0, columns = 0;
};

std::vector<Piece> pieces_of(std::int64_t rows, std::int64_t inner, std::int64_t columns, bool packed) {
  const bool whole = threads_here() == 1 || rows * inner * columns < kSerialMultiplications;
  std::vector<Piece> pieces;
  const bool by_rows = !whole && packed && rows >= 2 * kRowsPerPiece;
  const std::int64_t row_step = by_rows ? even_step(rows, kRowsPerPiece, kRowsOfTiles) : rows;
  const std::int64_t column_step =
      !packed || (!whole && !by_rows) ? even_step(columns, kColumnsPerPiece, kPanel) : columns;
  for (std::int64_t row = 0; row < rows; row += row_step) {
    for (std::int64_t column = 0; column < columns; column += column_step) {
      pieces.push_back(
          {row, std::min(row_step, rows - row), column, std::min(column_step, columns - column)});
    }
  }
  return pieces;
}

/// The right side of the columns [first, first + count) of W^T, from `packed` or packed now.
RightSide right_side(const at::Tensor& weight_OI, const at::Tensor& packed, std::int64_t first,
                     std::int64_t count, at::Tensor& scratch) {
  const std::int64_t inner = weight_OI.size(1), panel = inner * kPanel;
  if (packed.defined()) return {packed.const_data_ptr<float>() + first / kPanel * panel, kPanel, panel};
  float* room = room_for(scratch, packed_size(count, inner));
  kernels().pack(weight_OI.const_data_ptr<float>() + first * weight_OI.stride(0), count, inner,
                 weight_OI.stride(0), room);
  return {room, kPanel, panel};
}

/// x W^T, through LibTorch where the kernels do not compute.
at::Tensor multiply(const at::Tensor& x_TI, const at::Tensor& weight_OI, const at::Tensor& packed) {
  if (!on_kernels(x_TI) || !on_kernels(weight_OI)) return at::mm(x_TI, weight_OI.t());
  const at::Tensor x = x_TI.stride(1) == 1 || x_TI.size(1) == 1 ? x_TI : x_TI.contiguous();
  const std::int64_t rows = x.size(0), inner = x.size(1), columns = weight_OI.size(0);
  at::Tensor out_TO = at::empty({rows, columns}, x.options());
  const auto pieces = pieces_of(rows, inner, columns, packed.defined());
  const float* left = x.const_data_ptr<float>();
  float* out = out_TO.mutable_data_ptr<float>();
  on_threads(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
    const Piece& p = pieces[static_cast<std::size_t>(i)];
    const c10::InferenceMode inference;  // a thread's mode is its own
    thread_local at::Tensor scratch;
    kernels().multiply({p.rows, inner, p.columns, left + p.first_row * x.stride(0), x.stride(0),
                        right_side(weight_OI, packed, p.first_column, p.columns, scratch),
                        out + p.first_row * columns + p.first_column, columns, false});
  });
  return out_TO;
}

}  // namespace

SerialMatrixLibrary::SerialMatrixLibrary() {
  at::get_num_threads();  // LibTorch sets up a thread at its first question, and would undo what follows
  if (mkl_set_threads() != nullptr) before_ = mkl_set_threads()(1);
}

SerialMatrixLibrary::~SerialMatrixLibrary() {
  if (mkl_set_threads() != nullptr) mkl_set_threads()(before_);
}

bool on_kernels(const at::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat &&
         !(c10::GradMode::is_enabled() && x.requires_grad());
}

at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI) {
  return multiply(x_TI, weight_OI.stride(1) == 1 ? weight_OI : weight_OI.contiguous(), at::Tensor());
}

void multiply_into(const at::Tensor& out_MN, const at::Tensor& left_MK, const at::Tensor& right_KN,
                   bool add) {
  const std::int64_t rows = out_MN.size(0), inner = left_MK.size(1), columns = out_MN.size(1);
  const float *left = left_MK.const_data_ptr<float>(), *right = right_KN.const_data_ptr<float>();
  float* out = out_MN.mutable_data_ptr<float>();
  on_even_pieces(columns, kColumnsPerPiece, kPanel, [&](std::int64_t first, std::int64_t count) {
    const c10::InferenceMode inference;
    thread_local at::Tensor scratch;
    float* room = room_for(scratch, packed_size(count, inner));
    kernels().pack_rows(right + first, inner, count, right_KN.stride(0), room);
    kernels().multiply({rows,
                        inner,
                        count,
                        left,
                        left_MK.stride(0),
                        {room, kPanel, inner * kPanel},
                        out + first,
                        out_MN.stride(0),
                        add});
  });
}

LinearWeight::LinearWeight(at::Tensor weight_OI, bool packed) : weight_OI_(std::move(weight_OI)) {
  if (!packed || !on_kernels(weight_OI_)) return;
  packed_ = at::empty({packed_size(outputs(), inputs())}, at::kFloat);
  kernels().pack(weight_OI_.const_data_ptr<float>(), outputs(), inputs(), inputs(),
                 packed_.mutable_data_ptr<float>());
}

at::Tensor LinearWeight::times(const at::Tensor& x_TI) const {
  return multiply(x_TI, weight_OI_, packed_);
}

void LinearWeight::add_gradient(const at::Tensor& dy_TO, at::Tensor& dx_TI) const {
  if (!on_kernels(dy_TO) || !on_kernels(weight_OI_)) {
    dx_TI = dx_TI.defined() ? dx_TI.addmm_(dy_TO, weight_OI_) : at::mm(dy_TO, weight_OI_);
    return;
  }
  const bool add = dx_TI.defined();
  if (!add) dx_TI = at::empty({dy_TO.size(0), inputs()}, dy_TO.options());
  multiply_into(dx_TI, dy_TO.stride(1) == 1 ? dy_TO : dy_TO.contiguous(), weight_OI_, add);
}

void LinearWeight::columns(const float* x, std::int64_t rows, std::int64_t first, std::int64_t count,
                           float* out, at::Tensor& scratch) const {
  kernels().multiply({rows, inputs(), count, x, inputs(),
                      right_side(weight_OI_, packed_, first, count, scratch), out, count, false});
}

void LinearWeight::add_rows(const float* x, std::int64_t rows, std::int64_t first, std::int64_t count,
                            float* out, bool add, at::Tensor& scratch) const {
  const std::int64_t stride = weight_OI_.stride(0);
  float* room = room_for(scratch, packed_size(inputs(), count));
  kernels().pack_rows(weight_OI_.const_data_ptr<float>() + first * stride, count, inputs(), stride, room);
  kernels().multiply({rows, count, inputs(), x, count, {room, kPanel, count * kPanel}, out, inputs(), add});
}

std::vector<at::Tensor> apply_linears(const at::Tensor& x_TI, std::span<const LinearWeight* const> weights,
                                      std::span<const at::Tensor> bias_O) {
  const bool differentiable = needs_gradient(x_TI);
  const at::Tensor x = differentiable ? x_TI.detach() : x_TI;
  std::vector<at::Tensor> outputs;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    outputs.push_back(weights[i]->times(x));
    if (bias_O[i].defined()) outputs.back().add_(bias_O[i]);
  }
  if (!differentiable) return outputs;
  const std::vector<const LinearWeight*> kept(weights.begin(), weights.end());
  differentiate(std::span(&x_TI, 1), outputs, [kept](const Gradients& dy_TO) {
    at::Tensor dx_TI;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (dy_TO[i].defined()) kept[i]->add_gradient(dy_TO[i], dx_TI);
    }
    return Gradients{dx_TI};
  });
  return outputs;
}

}  // namespace rocket
