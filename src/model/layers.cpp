#include "model/layers.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"
#include "model/backward.h"
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

/// Steps with gradients of their own on the CPU; they compute in float32 and keep the type of what they get.
bool by_hand(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

at::Tensor plain(const at::Tensor& x) {
  return x.detach().to(at::kFloat).contiguous();
}

at::Tensor rms_norm_on_kernels(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  at::Tensor out_TD = at::empty_like(x_TD);
  const std::int64_t width = x_TD.size(1);
  const float *x = x_TD.const_data_ptr<float>(), *weight = weight_D.const_data_ptr<float>();
  float* out = out_TD.mutable_data_ptr<float>();
  on_row_bands(x_TD.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      kernels().rms_norm(x + row * width, weight, static_cast<float>(eps), width, out + row * width);
    }
  });
  return out_TD;
}

at::Tensor rms_norm_backward(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps,
                             const at::Tensor& dy_TD) {
  at::Tensor dx_TD = at::empty_like(x_TD);
  const std::int64_t width = x_TD.size(1);
  const float *x = x_TD.const_data_ptr<float>(), *weight = weight_D.const_data_ptr<float>(),
              *dy = dy_TD.const_data_ptr<float>();
  float* dx = dx_TD.mutable_data_ptr<float>();
  on_row_bands(x_TD.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin * width; at < end * width; at += width)
      kernels().rms_norm_backward(x + at, weight, dy + at, static_cast<float>(eps), width, dx + at);
  });
  return dx_TD;
}

at::Tensor differentiable_rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  const at::Tensor x = x_TD.detach(), weight = plain(weight_D);
  std::array<at::Tensor, 1> out{rms_norm_on_kernels(plain(x), weight, eps).to(x.scalar_type())};
  differentiate(std::span(&x_TD, 1), out, [x, weight, eps](const Gradients& dy_TD) {
    return Gradients{rms_norm_backward(plain(x), weight, eps, plain(dy_TD[0])).to(x.scalar_type())};
  });
  return out[0];
}

void silu_times_on_kernels(const at::Tensor& gate_TI, const at::Tensor& up_TI) {
  float* gate = gate_TI.mutable_data_ptr<float>();
  const float* up = up_TI.const_data_ptr<float>();
  const std::int64_t width = gate_TI.size(1);
  on_row_bands(gate_TI.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    kernels().silu_times(gate + begin * width, up + begin * width, (end - begin) * width);
  });
}

/// Gradients of gate and up, float32.
std::array<at::Tensor, 2> silu_times_backward(const at::Tensor& gate_TI, const at::Tensor& up_TI,
                                              const at::Tensor& dy_TI) {
  std::array<at::Tensor, 2> result{at::empty_like(gate_TI), at::empty_like(up_TI)};
  const float *gate = gate_TI.const_data_ptr<float>(), *up = up_TI.const_data_ptr<float>(),
              *dy = dy_TI.const_data_ptr<float>();
  float *dgate = result[0].mutable_data_ptr<float>(), *dup = result[1].mutable_data_ptr<float>();
  const std::int64_t width = gate_TI.size(1);
  on_row_bands(gate_TI.size(0), width, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t at = begin * width;
    kernels().silu_times_backward(gate + at, up + at, dy + at, (end - begin) * width, dgate + at, dup + at);
  });
  return result;
}

at::Tensor differentiable_silu_times(const at::Tensor& gate_TI, const at::Tensor& up_TI) {
  const at::Tensor gate = gate_TI.detach(), up = up_TI.detach();
  at::Tensor product = at::empty(gate.sizes(), gate.options().dtype(at::kFloat)).copy_(gate);
  silu_times_on_kernels(product, plain(up));
  std::array<at::Tensor, 1> out{product.to(gate.scalar_type())};
  differentiate(std::array{gate_TI, up_TI}, out, [gate, up](const Gradients& dy_TI) {
    const auto [dgate, dup] = silu_times_backward(plain(gate), plain(up), plain(dy_TI[0]));
    return Gradients{dgate.to(gate.scalar_type()), dup.to(up.scalar_type())};
  });
  return out[0];
}

}  // namespace

at::Tensor silu(const at::Tensor& x) {
  if (!plain_float(x)) return at::silu(x);
  // Below -80 the result is zero for any purpose, and the derivative would come out as 0 * infinity.
  return x / (at::exp(at::neg(at::clamp_min(x, -80.0))) + 1.0);
}

at::Tensor silu_times(at::Tensor gate_TI, const at::Tensor& up_TI) {
  if (by_hand(gate_TI) && needs_gradient(std::array{gate_TI, up_TI}))
    return differentiable_silu_times(gate_TI, up_TI);
  if (!on_kernels(gate_TI) || !on_kernels(up_TI)) return rocket::silu(gate_TI) * up_TI;
  silu_times_on_kernels(gate_TI, up_TI);
  return gate_TI;
}

at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  if (by_hand(x_TD) && needs_gradient(x_TD)) return differentiable_rms_norm(x_TD, weight_D, eps);
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
