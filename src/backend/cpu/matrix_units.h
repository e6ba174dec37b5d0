// How the kernels see matrices of float32 and of bfloat16: by type, what `product.cpp` has to know of either.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <type_traits>

#include "kernels/kernels.h"

namespace rocket {

/// What a product steps along: floats, or pairs of bfloat16 values. Both have the size of a float.
template <class Value>
using Unit = std::conditional_t<std::is_same_v<Value, float>, float, Bfloat16Pair>;

template <class Value>
constexpr std::int64_t kPerUnit = sizeof(Unit<Value>) / sizeof(Value);

template <class Value>
constexpr std::int64_t units_of(std::int64_t values) {
  return (values + kPerUnit<Value> - 1) / kPerUnit<Value>;
}

template <class Value>
const Value* values_of(const at::Tensor& x) {
  return static_cast<const Value*>(x.const_data_ptr());
}

template <class Value>
Value* values_to(const at::Tensor& x) {
  return static_cast<Value*>(x.mutable_data_ptr());
}

/// The kernels by the types of what they multiply.
inline void compute(const MatrixProduct& p) {
  kernels().multiply(p);
}
inline void compute(const PairProduct& p) {
  kernels().multiply_pairs(p);
}
inline void compute(const Bfloat16Product& p) {
  kernels().multiply_bfloat16(p);
}
inline void pack(const float* rows, std::int64_t columns, std::int64_t inner, std::int64_t stride,
                 float* packed) {
  kernels().pack(rows, columns, inner, stride, packed);
}
inline void pack(const Bfloat16* rows, std::int64_t columns, std::int64_t inner, std::int64_t stride,
                 Bfloat16Pair* packed) {
  kernels().pack_pairs(rows, columns, inner, stride, packed);
}
inline void pack_rows(const float* rows, std::int64_t inner, std::int64_t columns, std::int64_t stride,
                      float* packed) {
  kernels().pack_rows(rows, inner, columns, stride, packed);
}
inline void pack_rows(const Bfloat16* rows, std::int64_t inner, std::int64_t columns, std::int64_t stride,
                      Bfloat16Pair* packed) {
  kernels().pack_row_pairs(rows, inner, columns, stride, packed);
}

/// Calls work(Value{}) with the type of the kernels that compute with `matrix`.
template <class Work>
decltype(auto) with_type_of(const at::Tensor& matrix, const Work& work) {
  return matrix.scalar_type() == at::kFloat ? work(float{}) : work(Bfloat16{});
}

/// At least so many units of memory in `scratch`, which is replaced where it is smaller.
template <class Unit>
Unit* room_for(at::Tensor& scratch, std::int64_t units) {
  static_assert(sizeof(Unit) == sizeof(float));
  if (!scratch.defined() || scratch.numel() < units) scratch = at::empty({units}, at::kFloat);
  return static_cast<Unit*>(scratch.mutable_data_ptr());
}

/// x, or a copy of it whose rows consist of whole units.
template <class Value>
at::Tensor in_units(const at::Tensor& x) {
  const auto whole = [](std::int64_t values) { return values % kPerUnit<Value> == 0; };
  const bool aligned = reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % alignof(Unit<Value>) == 0;
  if (x.stride(1) == 1 && whole(x.size(1)) && whole(x.stride(0)) && aligned) return x;
  at::Tensor copy = at::empty({x.size(0), kPerUnit<Value> * units_of<Value>(x.size(1))}, x.options());
  copy.narrow(1, 0, x.size(1)).copy_(x);
  copy.narrow(1, x.size(1), copy.size(1) - x.size(1)).zero_();
  return copy;
}

}  // namespace rocket
