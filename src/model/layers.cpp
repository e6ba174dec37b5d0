#include "model/layers.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/activity.h"
#include "kernels/kernels.h"
#include "model/backward.h"
#include "model/device.h"
#include "model/finite.h"
#include "model/float_matrix.h"
#include "model/threads.h"

namespace rocket {
namespace {

/// A copy whose storage is aligned for its type.
at::Tensor aligned_copy(const StoredTensor& stored) {
  at::Tensor copy = at::empty(stored.shape, scalar_type(stored.dtype));
  std::memcpy(copy.mutable_data_ptr(), stored.bytes.data(), stored.bytes.size());
  return copy;
}

at::Tensor plain_float(const at::Tensor& x) {
  return x.to(at::kFloat).contiguous();
}

/// Calls work(first row, rows, room for `copies` of these) for blocks that cover all rows; copies stay in the
/// first caches.
template <class Work>
void for_each_block(const FloatMatrix& x, std::int64_t copies, const Work& work) {
  constexpr std::int64_t kElements = 4096;
  const std::int64_t most = std::max<std::int64_t>(1, kElements / std::max<std::int64_t>(1, x.columns()));
  on_row_bands(x.rows(), x.columns(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += most) {
      const std::int64_t rows = std::min(most, end - first);
      ThreadRoom room(copies * rows * x.columns());
      work(first, rows, room);
    }
  });
}

at::Tensor rms_norm_on_kernels(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  at::Tensor out_TD = at::empty_like(x_TD);
  const at::Tensor weight = plain_float(weight_D);
  const FloatMatrix x(x_TD), out(out_TD);
  const std::int64_t width = x.columns();
  for_each_block(x, 2, [&](std::int64_t first, std::int64_t rows, ThreadRoom& room) {
    const float* from = x.read_rows(first, rows, room);
    float* to = out.target_rows(first, rows, room);
    for (std::int64_t at = 0; at < rows * width; at += width) {
      kernels().rms_norm(from + at, weight.const_data_ptr<float>(), static_cast<float>(eps), width, to + at);
    }
    out.store_rows(first, rows, to);
  });
  return out_TD;
}

at::Tensor rms_norm_backward(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps,
                             const at::Tensor& dy_TD) {
  at::Tensor dx_TD = at::empty_like(x_TD);
  const FloatMatrix x(x_TD), dy(dy_TD), dx(dx_TD);
  const std::int64_t width = x.columns();
  for_each_block(x, 3, [&](std::int64_t first, std::int64_t rows, ThreadRoom& room) {
    const float *from = x.read_rows(first, rows, room), *gradient = dy.read_rows(first, rows, room);
    float* to = dx.target_rows(first, rows, room);
    for (std::int64_t at = 0; at < rows * width; at += width) {
      kernels().rms_norm_backward(from + at, weight_D.const_data_ptr<float>(), gradient + at,
                                  static_cast<float>(eps), width, to + at);
    }
    dx.store_rows(first, rows, to);
  });
  return dx_TD;
}

at::Tensor differentiable_rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  const at::Tensor x = x_TD.detach().contiguous(), weight = plain_float(weight_D.detach());
  std::array<at::Tensor, 1> out{rms_norm_on_kernels(x, weight, eps)};
  differentiate(std::span(&x_TD, 1), out, [x, weight, eps](const Gradients& dy_TD) {
    return Gradients{rms_norm_backward(x, weight, eps, dy_TD[0].contiguous())};
  });
  return out[0];
}

/// out = silu(gate) * up; out may be gate.
void silu_times_on_kernels(const at::Tensor& gate_TI, const at::Tensor& up_TI, const at::Tensor& out_TI) {
  const FloatMatrix gate(gate_TI), up(up_TI), out(out_TI);
  for_each_block(gate, 2, [&](std::int64_t first, std::int64_t rows, ThreadRoom& room) {
    float* y = out.target_rows(first, rows, room);
    gate.copy_to({first, rows, 0, gate.columns()}, y);
    kernels().silu_times(y, up.read_rows(first, rows, room), rows * gate.columns());
    out.store_rows(first, rows, y);
  });
}

/// Gradients of gate and up.
std::array<at::Tensor, 2> silu_times_backward(const at::Tensor& gate_TI, const at::Tensor& up_TI,
                                              const at::Tensor& dy_TI) {
  std::array<at::Tensor, 2> result{at::empty_like(gate_TI), at::empty_like(up_TI)};
  const FloatMatrix gate(gate_TI), up(up_TI), dy(dy_TI), dgate(result[0]), dup(result[1]);
  for_each_block(gate, 5, [&](std::int64_t first, std::int64_t rows, ThreadRoom& room) {
    float *to_gate = dgate.target_rows(first, rows, room), *to_up = dup.target_rows(first, rows, room);
    kernels().silu_times_backward(gate.read_rows(first, rows, room), up.read_rows(first, rows, room),
                                  dy.read_rows(first, rows, room), rows * gate.columns(), to_gate, to_up);
    dgate.store_rows(first, rows, to_gate);
    dup.store_rows(first, rows, to_up);
  });
  return result;
}

at::Tensor differentiable_silu_times(const at::Tensor& gate_TI, const at::Tensor& up_TI) {
  const at::Tensor gate = gate_TI.detach().contiguous(), up = up_TI.detach().contiguous();
  std::array<at::Tensor, 1> out{at::empty_like(gate)};
  silu_times_on_kernels(gate, up, out[0]);
  differentiate(std::array{gate_TI, up_TI}, out, [gate, up](const Gradients& dy_TI) {
    const auto [dgate, dup] = silu_times_backward(gate, up, dy_TI[0].contiguous());
    return Gradients{dgate, dup};
  });
  return out[0];
}

}  // namespace

at::Tensor silu_times(at::Tensor gate_TI, const at::Tensor& up_TI) {
  if (!holds_floats(gate_TI)) return at::silu(gate_TI) * up_TI;
  if (needs_gradient(std::array{gate_TI, up_TI})) return differentiable_silu_times(gate_TI, up_TI);
  silu_times_on_kernels(gate_TI, up_TI, gate_TI);
  return gate_TI;
}

at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  if (holds_floats(x_TD) && needs_gradient(x_TD)) return differentiable_rms_norm(x_TD, weight_D, eps);
  if (holds_floats(x_TD)) return rms_norm_on_kernels(x_TD.contiguous(), weight_D, eps);
  const at::Tensor wide = x_TD.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, true) + eps);
  return weight_D * (wide * scale).to(x_TD.scalar_type());
}

at::Tensor load_weight(const StoredTensor& stored, const WeightPlace& place) {
  note_activity();
  const auto address = reinterpret_cast<std::uintptr_t>(stored.bytes.data());
  const bool aligned = address % static_cast<std::uintptr_t>(size_of(stored.dtype)) == 0;
  const at::Tensor values = aligned ? as_tensor(stored) : aligned_copy(stored);
  require_finite(values, stored.name);
  const at::Tensor weight = values.to(place.device, place.dtype);
  if (c10::elementSize(place.dtype) < values.itemsize()) require_finite(weight, stored.name);
  return weight;
}

}  // namespace rocket
