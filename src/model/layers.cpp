#include "model/layers.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"
#include "model/device.h"
#include "model/product.h"
#include "model/threads.h"

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

/// work(begin, end) on bands of rows, on all threads where there is enough to do.
template <class Work>
void for_row_bands(std::int64_t rows, std::int64_t width, const Work& work) {
  constexpr std::int64_t kElementsPerBand = 1 << 16;
  const std::int64_t bands =
      std::clamp<std::int64_t>(rows * width / kElementsPerBand, 1, std::max<std::int64_t>(1, rows));
  on_threads(bands, [&](std::int64_t i) { work(rows * i / bands, rows * (i + 1) / bands); });
}

at::Tensor rms_norm_on_kernels(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  at::Tensor out_TD = at::empty_like(x_TD);
  const std::int64_t width = x_TD.size(1);
  const float *x = x_TD.const_data_ptr<float>(), *weight = weight_D.const_data_ptr<float>();
  float* out = out_TD.mutable_data_ptr<float>();
  for_row_bands(x_TD.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      kernels().rms_norm(x + row * width, weight, static_cast<float>(eps), width, out + row * width);
    }
  });
  return out_TD;
}

}  // namespace

at::Tensor silu(const at::Tensor& x) {
  if (!plain_float(x)) return at::silu(x);
  // Below -80 the result is zero for any purpose, and the derivative would come out as 0 * infinity.
  return x / (at::exp(at::neg(at::clamp_min(x, -80.0))) + 1.0);
}

at::Tensor silu_times(at::Tensor gate_TI, const at::Tensor& up_TI) {
  if (!on_kernels(gate_TI) || !on_kernels(up_TI)) return rocket::silu(gate_TI) * up_TI;
  float* gate = gate_TI.mutable_data_ptr<float>();
  const float* up = up_TI.const_data_ptr<float>();
  const std::int64_t width = gate_TI.size(1);
  for_row_bands(gate_TI.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    kernels().silu_times(gate + begin * width, up + begin * width, (end - begin) * width);
  });
  return gate_TI;
}

at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  if (on_kernels(x_TD) && x_TD.is_contiguous()) return rms_norm_on_kernels(x_TD, weight_D, eps);
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
