#include "backend/cpu/product.h"

#include <ATen/Parallel.h>
#include <ATen/cpu/Utils.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "backend/backward.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/float_matrix.h"
#include "backend/cpu/matrix_units.h"
#include "backend/threads.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

constexpr std::int64_t kSerialMultiplications = 1 << 23;        // less than this is not worth a second thread
constexpr std::int64_t kRowsPerPiece = 120, kRowsOfTiles = 12;  // whole tiles for every instruction set
constexpr std::int64_t kColumnsPerPiece = 8 * kPanel;

/// Whether the kernels multiply the two: bfloat16 only where the weight is packed. Packing one takes as long
/// as multiplying some sixty rows, and LibTorch needs no packing.
bool multiply_on_kernels(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& packed) {
  const auto type = x.scalar_type();
  return !needs_gradient(x) && !needs_gradient(weight) && weight.scalar_type() == type &&
         (type == at::kFloat || (type == at::kBFloat16 && packed.defined()));
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
template <class Value>
RightSideOf<Unit<Value>> right_side(const at::Tensor& weight_OI, const at::Tensor& packed, std::int64_t first,
                                    std::int64_t count, at::Tensor& scratch) {
  const std::int64_t inner = weight_OI.size(1), panel = units_of<Value>(inner) * kPanel;
  if (packed.defined()) return {values_of<Unit<Value>>(packed) + first / kPanel * panel, kPanel, panel};
  auto* room = room_for<Unit<Value>>(scratch, packed_size(count, units_of<Value>(inner)));
  pack(values_of<Value>(weight_OI) + first * weight_OI.stride(0), count, inner, weight_OI.stride(0), room);
  return {room, kPanel, panel};
}

/// x W^T of matrices of `Value`, as a matrix of `Sum`.
template <class Value, class Sum>
void multiply_on_threads(const at::Tensor& x_TI, const at::Tensor& weight_OI, const at::Tensor& packed,
                         const at::Tensor& out_TO) {
  const at::Tensor x = in_units<Value>(x_TI);
  const std::int64_t rows = x.size(0), inner = units_of<Value>(x_TI.size(1)), columns = weight_OI.size(0),
                     stride = x.stride(0) / kPerUnit<Value>;
  const auto pieces = pieces_of(rows, inner, columns, packed.defined());
  const auto* left = values_of<Unit<Value>>(x);
  Sum* out = values_to<Sum>(out_TO);
  on_threads(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
    const Piece& p = pieces[static_cast<std::size_t>(i)];
    const c10::InferenceMode inference;  // a thread's mode is its own
    thread_local at::Tensor scratch;
    compute(
        ProductOf<Unit<Value>, Sum>{p.rows, inner, p.columns, left + p.first_row * stride, stride,
                                    right_side<Value>(weight_OI, packed, p.first_column, p.columns, scratch),
                                    out + p.first_row * columns + p.first_column, columns, false});
  });
}

/// x W^T, through LibTorch where the kernels do not compute.
at::Tensor multiply(const at::Tensor& x_TI, const at::Tensor& weight_OI, const at::Tensor& packed) {
  if (!multiply_on_kernels(x_TI, weight_OI, packed)) return at::mm(x_TI, weight_OI.t());
  at::Tensor out_TO = at::empty({x_TI.size(0), weight_OI.size(0)}, x_TI.options());
  with_type_of(weight_OI, [&]<class Value>(Value) {
    multiply_on_threads<Value, Value>(x_TI, weight_OI, packed, out_TO);
  });
  return out_TO;
}

/// out [M, N] = left [M, K] right [K, N], added to what stands there where `add`.
template <class Value>
void multiply_into_of(const at::Tensor& out_MN, const at::Tensor& left_MK, const at::Tensor& right_KN,
                      bool add) {
  const at::Tensor left = in_units<Value>(left_MK);
  const std::int64_t rows = out_MN.size(0), inner = units_of<Value>(left_MK.size(1)),
                     columns = out_MN.size(1);
  const Value* right = values_of<Value>(right_KN);
  Value* out = values_to<Value>(out_MN);
  on_even_pieces(columns, kColumnsPerPiece, kPanel, [&](std::int64_t first, std::int64_t count) {
    const c10::InferenceMode inference;
    thread_local at::Tensor scratch;
    auto* room = room_for<Unit<Value>>(scratch, packed_size(count, inner));
    pack_rows(right + first, right_KN.size(0), count, right_KN.stride(0), room);
    compute(ProductOf<Unit<Value>, Value>{rows,
                                          inner,
                                          count,
                                          values_of<Unit<Value>>(left),
                                          left.stride(0) / kPerUnit<Value>,
                                          {room, kPanel, inner * kPanel},
                                          out + first,
                                          out_MN.stride(0),
                                          add});
  });
}

/// Rows of floats as the left side of a product of `Value`; their distance is units_of<Value>(count).
template <class Value>
const Unit<Value>* left_side(const float* x, std::int64_t rows, std::int64_t count, at::Tensor& scratch) {
  if constexpr (std::is_same_v<Value, float>) {
    return x;
  } else {
    const std::int64_t stride = 2 * pairs_of(count);
    auto* pairs = room_for<Bfloat16Pair>(scratch, rows * pairs_of(count));
    auto* values = reinterpret_cast<Bfloat16*>(pairs);
    for (std::int64_t r = 0; r < rows; ++r) {
      kernels().to_bfloat16(x + r * count, count, values + r * stride);
      if (count < stride) values[r * stride + count] = Bfloat16{};
    }
    return pairs;
  }
}

}  // namespace

bool kernels_multiply_faster(at::ScalarType type) {
  static const bool tiles = at::cpu::init_amx();
  return type == at::kFloat || (type == at::kBFloat16 && !tiles);
}

void multiply_into(const at::Tensor& out_MN, const at::Tensor& left_MK, const at::Tensor& right_KN,
                   bool add) {
  with_type_of(out_MN, [&]<class Value>(Value) { multiply_into_of<Value>(out_MN, left_MK, right_KN, add); });
}

LinearWeight packed_weight(at::Tensor weight_OI, bool pack_it) {
  LinearWeight weight{std::move(weight_OI), {}};
  if (!pack_it || !holds_floats(weight.values_OI)) return weight;
  const std::int64_t outputs = weight.outputs(), inputs = weight.inputs();
  with_type_of(weight.values_OI, [&]<class Value>(Value) {
    weight.packed = at::empty({packed_size(outputs, units_of<Value>(inputs))}, at::kFloat);
    pack(values_of<Value>(weight.values_OI), outputs, inputs, inputs, values_to<Unit<Value>>(weight.packed));
  });
  return weight;
}

at::Tensor times(const LinearWeight& weight, const at::Tensor& x_TI) {
  return multiply(x_TI, weight.values_OI, weight.packed);
}

at::Tensor sums(const LinearWeight& weight, const at::Tensor& x_TI) {
  at::Tensor out_TO = at::empty({x_TI.size(0), weight.outputs()}, x_TI.options().dtype(at::kFloat));
  with_type_of(weight.values_OI, [&]<class Value>(Value) {
    multiply_on_threads<Value, float>(x_TI, weight.values_OI, weight.packed, out_TO);
  });
  return out_TO;
}

void add_gradient(const LinearWeight& weight, const at::Tensor& dy_TO, at::Tensor& dx_TI) {
  if (!multiply_on_kernels(dy_TO, weight.values_OI, weight.packed)) {
    dx_TI = dx_TI.defined() ? dx_TI.addmm_(dy_TO, weight.values_OI) : at::mm(dy_TO, weight.values_OI);
    return;
  }
  const bool add = dx_TI.defined();
  if (!add) dx_TI = at::empty({dy_TO.size(0), weight.inputs()}, dy_TO.options());
  multiply_into(dx_TI, dy_TO, weight.values_OI, add);
}

void columns(const LinearWeight& weight, const at::Tensor& x_TI, std::int64_t first, std::int64_t count,
             float* out, ProductScratch& scratch) {
  with_type_of(weight.values_OI, [&]<class Value>(Value) {
    const at::Tensor x = in_units<Value>(x_TI);
    compute(ProductOf<Unit<Value>, float>{
        x.size(0), units_of<Value>(weight.inputs()), count, values_of<Unit<Value>>(x),
        x.stride(0) / kPerUnit<Value>,
        right_side<Value>(weight.values_OI, weight.packed, first, count, scratch.right), out, count, false});
  });
}

void add_rows(const LinearWeight& weight, const float* x, std::int64_t rows, std::int64_t first,
              std::int64_t count, float* out, bool add, ProductScratch& scratch) {
  const std::int64_t stride = weight.values_OI.stride(0), inputs = weight.inputs();
  with_type_of(weight.values_OI, [&]<class Value>(Value) {
    const std::int64_t inner = units_of<Value>(count);
    auto* room = room_for<Unit<Value>>(scratch.right, packed_size(inputs, inner));
    pack_rows(values_of<Value>(weight.values_OI) + first * stride, count, inputs, stride, room);
    compute(ProductOf<Unit<Value>, float>{rows,
                                          inner,
                                          inputs,
                                          left_side<Value>(x, rows, count, scratch.left),
                                          inner,
                                          {room, kPanel, inner * kPanel},
                                          out,
                                          inputs,
                                          add});
  });
}

LinearWeight CpuBackend::prepare(at::Tensor weight_OI, bool keep) const {
  const bool pack_it = keep && kernels_multiply_faster(weight_OI.scalar_type());
  return packed_weight(std::move(weight_OI), pack_it);
}

at::Tensor CpuBackend::product(const LinearWeight& weight, const at::Tensor& x_TI) const {
  return times(weight, x_TI);
}

void CpuBackend::add_product_gradient(const LinearWeight& weight, const at::Tensor& dy_TO,
                                      at::Tensor& dx_TI) const {
  add_gradient(weight, dy_TO, dx_TI);
}

}  // namespace rocket
