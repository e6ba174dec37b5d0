// The emulated device takes the way of CUDA. What only a card can do is put in its place: the kernels of our
// own run here as blocks of one thread.
#include <torch/library.h>

#include "backend/cuda/cuda_backend.h"
#include "device/arithmetic.h"
#include "device/capture.h"
#include "device/counts.h"
#include "device/host_view.h"
#include "device/memory.h"
#include "kernels/gpu_steps.h"

namespace rocket::emulated {
namespace {

template <class T>
T* opened(T* address) {
  return address != nullptr ? static_cast<T*>(for_operators(address)) : nullptr;
}

template <class T>
const T* opened(const T* address) {
  return address != nullptr ? static_cast<const T*>(for_operators(address)) : nullptr;
}

// What a step reads and writes, in bytes.

std::int64_t bytes_of(GpuType type) {
  return type == GpuType::f32 ? 4 : 2;
}
std::int64_t bytes_of(const GpuDropoutMask& a) {
  return a.draw.rows * a.draw.width;
}
std::int64_t bytes_of(const GpuDrop& a) {
  return 2 * a.draw.rows * a.draw.width * bytes_of(a.type);
}
std::int64_t bytes_of(const GpuRmsNorm& a) {
  return (a.add != nullptr ? 4 : 2) * a.rows * a.width * bytes_of(a.type);
}
std::int64_t bytes_of(const GpuRmsNormBackward& a) {
  return (a.ds != nullptr ? 4 : 3) * a.rows * a.width * bytes_of(a.type);
}
std::int64_t bytes_of(const GpuRotation& a) {
  return 2 * a.rows * a.heads * a.width * bytes_of(a.type);
}
std::int64_t bytes_of(const GpuSiluTimes& a) {
  return 3 * a.count * bytes_of(a.type);
}
std::int64_t bytes_of(const GpuSiluTimesBackward& a) {
  return 5 * a.count * bytes_of(a.type);
}
std::int64_t bytes_of(const GpuKeepRanks& a) {
  return 2 * a.rows * a.ranks * bytes_of(a.type);
}
std::int64_t bytes_of(const GpuStoreRows& a) {
  return 4 * a.rows * a.row_bytes;
}
std::int64_t bytes_of(const GpuThreeParts& a) {
  return a.count * (4 + 3 * 2);
}
std::int64_t bytes_of(const GpuRoute& a) {
  return a.rows * a.experts.experts() * 4 * (a.parts + 2);
}
std::int64_t bytes_of(const GpuGateRanks& a) {
  return 2 * a.rows * a.experts.ranks() * bytes_of(a.type);
}
std::int64_t bytes_of(const GpuGateBackward& a) {
  return a.rows * (3 * a.experts.ranks() * bytes_of(a.type) + 4 * a.experts.experts() * 4);
}
std::int64_t bytes_of(const GpuNll& a) {
  return a.rows * a.width * (3 * 4 + (a.gradient != nullptr ? bytes_of(a.type) : 0));
}

/// compute(a value of the type).
template <class Compute>
void in_type(GpuType type, const Compute& compute) {
  type == GpuType::f32 ? compute(float{}) : compute(GpuBfloat16{});
}

/// compute(a value of the type, row) of each row.
template <class Step, class Compute>
void row_by_row(const Step& step, const Compute& compute) {
  in_type(step.type, [&](auto value) {
    for (std::int64_t row = 0; row < step.rows; ++row) compute(value, row);
  });
}

/// One launch: computes the step with addresses that the host may read.
template <class Step, class Compute, class... Pointer>
const char* launch(const char* name, Step step, const Compute& compute, Pointer Step::*... pointers) {
  count_operator();
  count_launch(name, {bytes_of(step), 0});
  if (arithmetic_is_skipped()) return nullptr;
  ((step.*pointers = opened(step.*pointers)), ...);
  if constexpr (requires { step.draw; }) {
    step.draw.upper = opened(step.draw.upper);
    step.draw.lower = opened(step.draw.lower);
  }
  if (capturing()) record_computing([step, compute] { compute(step); });
  compute(step);
  return nullptr;
}

/// Each computes as a block of one thread.
class HostSteps final : public GpuSteps {
 public:
  const char* dropout_mask(const GpuDropoutMask& step) const override {
    using S = GpuDropoutMask;
    return launch(
        "dropout_mask", step, [](const auto& a) { dropout_elements(a, OneThread{}); }, &S::kept);
  }

  const char* drop(const GpuDrop& step) const override {
    using S = GpuDrop;
    return launch(
        "drop", step,
        [](const auto& a) {
          in_type(a.type, [&](auto value) { drop_elements<decltype(value)>(a, OneThread{}); });
        },
        &S::x, &S::y);
  }

  const char* rms_norm(const GpuRmsNorm& step) const override {
    using S = GpuRmsNorm;
    return launch(
        "rms_norm", step,
        [](const auto& a) {
          row_by_row(
              a, [&](auto value, std::int64_t row) { rms_norm_row<decltype(value)>(a, row, OneThread{}); });
        },
        &S::x, &S::add, &S::weight, &S::sum, &S::y);
  }

  const char* rms_norm_backward(const GpuRmsNormBackward& step) const override {
    using S = GpuRmsNormBackward;
    return launch(
        "rms_norm_backward", step,
        [](const auto& a) {
          row_by_row(a, [&](auto value, std::int64_t row) {
            rms_norm_backward_row<decltype(value)>(a, row, OneThread{});
          });
        },
        &S::dy, &S::ds, &S::s, &S::weight, &S::dx);
  }

  const char* rotate(const GpuRotation& step) const override {
    using S = GpuRotation;
    return launch(
        "rotate", step,
        [](const auto& a) {
          row_by_row(a,
                     [&](auto value, std::int64_t row) { rotate_row<decltype(value)>(a, row, OneThread{}); });
        },
        &S::x, &S::y, &S::cos, &S::sin);
  }

  const char* silu_times(const GpuSiluTimes& step) const override {
    using S = GpuSiluTimes;
    return launch(
        "silu_times", step,
        [](const auto& a) {
          in_type(a.type, [&](auto value) { silu_times_elements<decltype(value)>(a, OneThread{}); });
        },
        &S::gate, &S::up, &S::y);
  }

  const char* silu_times_backward(const GpuSiluTimesBackward& step) const override {
    using S = GpuSiluTimesBackward;
    return launch(
        "silu_times_backward", step,
        [](const auto& a) {
          in_type(a.type, [&](auto value) { silu_times_backward_elements<decltype(value)>(a, OneThread{}); });
        },
        &S::dy, &S::gate, &S::up, &S::dgate, &S::dup);
  }

  const char* keep_ranks(const GpuKeepRanks& step) const override {
    using S = GpuKeepRanks;
    return launch(
        "keep_ranks", step,
        [](const auto& a) {
          in_type(a.type, [&](auto value) { keep_ranks_elements<decltype(value)>(a, OneThread{}); });
        },
        &S::hidden, &S::number_of_row, &S::number, &S::scale);
  }

  const char* store_rows(const GpuStoreRows& step) const override {
    using S = GpuStoreRows;
    return launch(
        "store_rows", step,
        [](const auto& a) {
          for (std::int64_t row = 0; row < a.rows; ++row) store_row(a, row, OneThread{});
        },
        &S::k, &S::v, &S::keys, &S::values, &S::from, &S::to);
  }

  const char* three_parts(const GpuThreeParts& step) const override {
    using S = GpuThreeParts;
    return launch(
        "three_parts", step, [](const auto& a) { three_parts_elements(a, OneThread{}); }, &S::values,
        &S::parts);
  }

  const char* route(const GpuRoute& step) const override {
    using S = GpuRoute;
    return launch(
        "route", step, [](const auto& a) { route_elements(a, OneThread{}); }, &S::logits, &S::p, &S::gates,
        &S::log_sum);
  }

  const char* gate_ranks(const GpuGateRanks& step) const override {
    using S = GpuGateRanks;
    return launch(
        "gate_ranks", step,
        [](const auto& a) {
          in_type(a.type, [&](auto value) { gate_ranks_elements<decltype(value)>(a, OneThread{}); });
        },
        &S::hidden, &S::gates, &S::gated);
  }

  const char* gate_backward(const GpuGateBackward& step) const override {
    using S = GpuGateBackward;
    return launch(
        "gate_backward", step,
        [](const auto& a) {
          in_type(a.type, [&](auto value) { gate_backward_elements<decltype(value)>(a, OneThread{}); });
        },
        &S::hidden, &S::dgated, &S::p, &S::gates, &S::log_sum, &S::choices, &S::dhidden, &S::dlogits,
        &S::dlogits_parts);
  }

  const char* nll(const GpuNll& step) const override {
    using S = GpuNll;
    return launch(
        "nll", step,
        [](const auto& a) {
          row_by_row(a, [&](auto value, std::int64_t row) { nll_row<decltype(value)>(a, row, OneThread{}); });
        },
        &S::logits, &S::targets, &S::nll, &S::gradient);
  }
};

[[maybe_unused]] const bool registered = [] {
  static const HostSteps steps;
  static const CudaBackend backend(&steps, &graphs);
  add_backend(kEmulated, backend);
  return true;
}();

/// Products of 16 bits whose float32 sums are not rounded: only CUDA has them.
at::Tensor mm_with_type(const at::Tensor& a, const at::Tensor& b, at::ScalarType type) {
  count_operator();
  count_launch("mm", {static_cast<std::int64_t>(a.nbytes() + b.nbytes()) + a.size(0) * b.size(1) * 4,
                      2 * a.size(0) * a.size(1) * b.size(1)});
  TORCH_CHECK(type == at::kFloat && a.scalar_type() == b.scalar_type() &&
                  (a.scalar_type() == at::kBFloat16 || a.scalar_type() == at::kHalf),
              "mm: float32 products are of two matrices of 16 bits, as on a GPU");
  TORCH_CHECK(a.device() == b.device(), "mm: matrices on ", a.device(), " and ", b.device());
  if (arithmetic_is_skipped()) return at::empty({a.size(0), b.size(1)}, a.options().dtype(at::kFloat));
  return computed(a.device(), [a, b] {
    return std::vector{at::mm(host_view(a).to(at::kFloat), host_view(b).to(at::kFloat))};
  })[0];
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("mm.dtype", mm_with_type);
}

}  // namespace
}  // namespace rocket::emulated
