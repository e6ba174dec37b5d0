#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "backend/backward.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/float_matrix.h"
#include "backend/threads.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

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

at::Tensor rms_norm_rows(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
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

/// Of a norm with float32 weights; `backward` is its kernel.
template <class Backward>
at::Tensor norm_backward(Backward backward, const at::Tensor& x_TD, const at::Tensor& weight_D, double eps,
                         const at::Tensor& dy_TD) {
  at::Tensor dx_TD = at::empty_like(x_TD);
  const FloatMatrix x(x_TD), dy(dy_TD), dx(dx_TD);
  const std::int64_t width = x.columns();
  for_each_block(x, 3, [&](std::int64_t first, std::int64_t rows, ThreadRoom& room) {
    const float *from = x.read_rows(first, rows, room), *gradient = dy.read_rows(first, rows, room);
    float* to = dx.target_rows(first, rows, room);
    for (std::int64_t at = 0; at < rows * width; at += width) {
      backward(from + at, weight_D.const_data_ptr<float>(), gradient + at, static_cast<float>(eps), width,
               to + at);
    }
    dx.store_rows(first, rows, to);
  });
  return dx_TD;
}

at::Tensor differentiable_rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) {
  const at::Tensor x = x_TD.detach().contiguous(), weight = plain_float(weight_D.detach());
  std::array<at::Tensor, 1> out{rms_norm_rows(x, weight, eps)};
  differentiate(std::span(&x_TD, 1), out, [x, weight, eps](const Gradients& dy_TD) {
    return Gradients{norm_backward(kernels().rms_norm_backward, x, weight, eps, dy_TD[0].contiguous())};
  });
  return out[0];
}

at::Tensor layer_norm_rows(const at::Tensor& x_TD, const at::Tensor& weight_D, const at::Tensor& bias_D,
                           double eps) {
  at::Tensor out_TD = at::empty_like(x_TD);
  const at::Tensor weight = plain_float(weight_D), bias = plain_float(bias_D);
  const FloatMatrix x(x_TD), out(out_TD);
  const std::int64_t width = x.columns();
  for_each_block(x, 2, [&](std::int64_t first, std::int64_t rows, ThreadRoom& room) {
    const float* from = x.read_rows(first, rows, room);
    float* to = out.target_rows(first, rows, room);
    for (std::int64_t at = 0; at < rows * width; at += width)
      kernels().layer_norm(from + at, weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
                           static_cast<float>(eps), width, to + at);
    out.store_rows(first, rows, to);
  });
  return out_TD;
}

at::Tensor differentiable_layer_norm(const at::Tensor& x_TD, const NormWeights& norm) {
  const at::Tensor x = x_TD.detach().contiguous(), weight = plain_float(norm.weight_D);
  std::array<at::Tensor, 1> out{layer_norm_rows(x, weight, norm.bias_D, norm.eps)};
  differentiate(std::span(&x_TD, 1), out, [x, weight, eps = norm.eps](const Gradients& dy_TD) {
    return Gradients{norm_backward(kernels().layer_norm_backward, x, weight, eps, dy_TD[0].contiguous())};
  });
  return out[0];
}

const ActivationKernels& kernels_of(Activation activation) {
  if (activation == Activation::silu) return kernels().silu;
  return activation == Activation::gelu ? kernels().gelu : kernels().gelu_tanh;
}

/// Rows of a matrix that may not be there.
const float* rows_or_null(const std::optional<FloatMatrix>& x, std::int64_t first, std::int64_t rows,
                          ThreadRoom& room) {
  return x ? x->read_rows(first, rows, room) : nullptr;
}

std::optional<FloatMatrix> matrix_if_defined(const at::Tensor& x) {
  return x.defined() ? std::optional<FloatMatrix>(x) : std::nullopt;
}

/// out = activation(gate) * up; out may be gate, and `up` undefined.
void activate_rows(Activation activation, const at::Tensor& gate_TI, const at::Tensor& up_TI,
                   const at::Tensor& out_TI) {
  const FloatMatrix gate(gate_TI), out(out_TI);
  const auto up = matrix_if_defined(up_TI);
  for_each_block(gate, 2, [&](std::int64_t first, std::int64_t rows, ThreadRoom& room) {
    float* y = out.target_rows(first, rows, room);
    gate.copy_to({first, rows, 0, gate.columns()}, y);
    kernels_of(activation).forward(y, rows_or_null(up, first, rows, room), rows * gate.columns());
    out.store_rows(first, rows, y);
  });
}

/// Gradients of gate and up.
Gradients activate_backward(Activation activation, const at::Tensor& gate_TI, const at::Tensor& up_TI,
                            const at::Tensor& dy_TI) {
  Gradients result{at::empty_like(gate_TI), up_TI.defined() ? at::empty_like(up_TI) : at::Tensor()};
  const FloatMatrix gate(gate_TI), dy(dy_TI), dgate(result[0]);
  const auto up = matrix_if_defined(up_TI), dup = matrix_if_defined(result[1]);
  for_each_block(gate, 5, [&](std::int64_t first, std::int64_t rows, ThreadRoom& room) {
    float* to_gate = dgate.target_rows(first, rows, room);
    float* to_up = dup ? dup->target_rows(first, rows, room) : nullptr;
    kernels_of(activation)
        .backward(gate.read_rows(first, rows, room), rows_or_null(up, first, rows, room),
                  dy.read_rows(first, rows, room), rows * gate.columns(), to_gate, to_up);
    dgate.store_rows(first, rows, to_gate);
    if (dup) dup->store_rows(first, rows, to_up);
  });
  return result;
}

at::Tensor differentiable_activate(Activation activation, const at::Tensor& gate_TI,
                                   const at::Tensor& up_TI) {
  const at::Tensor gate = gate_TI.detach().contiguous(),
                   up = up_TI.defined() ? up_TI.detach().contiguous() : at::Tensor();
  std::array<at::Tensor, 1> out{at::empty_like(gate)};
  activate_rows(activation, gate, up, out[0]);
  differentiate(std::array{gate_TI, up_TI}, out, [activation, gate, up](const Gradients& dy_TI) {
    return activate_backward(activation, gate, up, dy_TI[0].contiguous());
  });
  return out[0];
}

/// `to` = x, turned; may be x.
void rotate_rows(const at::Tensor& x_THK, const Rotation& rotation, const at::Tensor& to_THK) {
  const std::int64_t heads = x_THK.size(1), width = x_THK.size(2), half = rotation.cos.size(2);
  const float *cos = rotation.cos.const_data_ptr<float>(), *sin = rotation.sin.const_data_ptr<float>();
  const FloatMatrix x(x_THK), to(to_THK);
  on_row_bands(x.rows(), x.columns(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      ThreadRoom room(x.columns());
      float* y = to.target_rows(row, 1, room);
      x.copy_to({row, 1, 0, x.columns()}, y);
      for (std::int64_t h = 0; h < heads; ++h)
        kernels().rotate(y + h * width, cos + row * half, sin + row * half, half);
      to.store_rows(row, 1, y);
    }
  });
}

/// Turning is orthogonal: its gradient is turned back.
at::Tensor differentiable_rotate(const at::Tensor& x_THK, const Rotation& forth) {
  const auto turned = [](const at::Tensor& x, const Rotation& by) {
    at::Tensor to = at::empty_like(x, at::MemoryFormat::Contiguous);
    rotate_rows(x.contiguous(), by, to);
    return to;
  };
  std::array<at::Tensor, 1> out{turned(x_THK.detach(), forth)};
  const Rotation back{forth.cos, forth.sin.neg()};
  differentiate(std::span(&x_THK, 1), out,
                [turned, back](const Gradients& dy_THK) { return Gradients{turned(dy_THK[0], back)}; });
  return out[0];
}

}  // namespace

at::Tensor CpuBackend::activate(Activation activation, at::Tensor gate_TI, const at::Tensor& up_TI) const {
  if (needs_gradient(std::array{gate_TI, up_TI})) return differentiable_activate(activation, gate_TI, up_TI);
  activate_rows(activation, gate_TI, up_TI, gate_TI);
  return gate_TI;
}

at::Tensor CpuBackend::layer_norm(const at::Tensor& x_TD, const NormWeights& norm) const {
  if (needs_gradient(x_TD)) return differentiable_layer_norm(x_TD, norm);
  return layer_norm_rows(x_TD.contiguous(), norm.weight_D, norm.bias_D, norm.eps);
}

at::Tensor CpuBackend::rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const {
  if (needs_gradient(x_TD)) return differentiable_rms_norm(x_TD, weight_D, eps);
  return rms_norm_rows(x_TD.contiguous(), weight_D, eps);
}

/// Wide again for the kernels.
at::Tensor CpuBackend::rotation_values(const at::Tensor& x, at::ScalarType type,
                                       at::Device /*device*/) const {
  return x.to(type).to(at::kFloat);
}

at::Tensor CpuBackend::rotate(at::Tensor x_THK, const Rotation& rotation) const {
  if (needs_gradient(x_THK)) return differentiable_rotate(x_THK, rotation);
  at::Tensor turned = x_THK.contiguous();
  rotate_rows(turned, rotation, turned);
  return turned;
}

}  // namespace rocket
