#include "model/layers.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <numbers>

#include "model/device.h"

namespace rocket {
namespace {

bool plain_float(const at::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat;
}

/// A copy whose storage is aligned for its type.
at::Tensor aligned_copy(const StoredTensor& stored) {
  at::Tensor copy = at::empty(stored.shape, scalar_type(stored.dtype));
  std::memcpy(copy.mutable_data_ptr(), stored.bytes.data(), stored.bytes.size());
  return copy;
}

}  // namespace

at::Tensor silu(const at::Tensor& x) {
  if (!plain_float(x)) return at::silu(x);
  // Below -80 the result is zero for any purpose, and the derivative would come out as 0 * infinity.
  return x / (at::exp(at::neg(at::clamp_min(x, -80.0))) + 1.0);
}

at::Tensor gelu(const at::Tensor& x, bool exact) {
  if (!plain_float(x)) return at::gelu(x, exact ? "none" : "tanh");
  if (exact) return x * 0.5 * (at::erf(x * std::numbers::sqrt2 * 0.5) + 1.0);
  return x * 0.5 * (at::tanh((x + x * x * x * 0.044715) * std::sqrt(2.0 / std::numbers::pi)) + 1.0);
}

at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  const at::Tensor wide = x_TD.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, true) + eps);
  return weight_D * (wide * scale).to(x_TD.scalar_type());
}

at::Tensor load_weight(const StoredTensor& stored, const WeightPlace& place) {
  const auto address = reinterpret_cast<std::uintptr_t>(stored.bytes.data());
  const bool aligned = address % static_cast<std::uintptr_t>(size_of(stored.dtype)) == 0;
  return (aligned ? as_tensor(stored) : aligned_copy(stored)).to(place.device, place.dtype);
}

}  // namespace rocket
