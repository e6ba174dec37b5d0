// The emulated device takes the way of CUDA. What only a card can do is put in its place: the kernels of our
// own run here as blocks of one thread.
#include <torch/library.h>

#include "backend/cuda/cuda_backend.h"
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

class HostSteps final : public GpuSteps {
 public:
  const char* dropout_mask(const GpuDropout& step) const override {
    GpuDropout a = step;
    count("dropout_mask");
    a.upper = opened(a.upper);
    a.lower = opened(a.lower);
    a.kept = opened(a.kept);
    dropout_elements(a, OneThread{});
    return nullptr;
  }

  const char* rms_norm(const GpuRmsNorm& step) const override {
    GpuRmsNorm a = step;
    count("rms_norm");
    a.x = opened(a.x);
    a.add = opened(a.add);
    a.weight = opened(a.weight);
    a.sum = opened(a.sum);
    a.y = opened(a.y);
    for (std::int64_t row = 0; row < a.rows; ++row)
      a.type == GpuType::f32 ? rms_norm_row<float>(a, row, OneThread{})
                             : rms_norm_row<GpuBfloat16>(a, row, OneThread{});
    return nullptr;
  }

  const char* rotate(const GpuRotation& step) const override {
    GpuRotation a = step;
    count("rotate");
    a.x = opened(a.x);
    a.cos = opened(a.cos);
    a.sin = opened(a.sin);
    for (std::int64_t row = 0; row < a.rows; ++row)
      a.type == GpuType::f32 ? rotate_row<float>(a, row, OneThread{})
                             : rotate_row<GpuBfloat16>(a, row, OneThread{});
    return nullptr;
  }

  const char* silu_times(const GpuSiluTimes& step) const override {
    GpuSiluTimes a = step;
    count("silu_times");
    a.gate = opened(a.gate);
    a.up = opened(a.up);
    a.y = opened(a.y);
    a.type == GpuType::f32 ? silu_times_elements<float>(a, OneThread{})
                           : silu_times_elements<GpuBfloat16>(a, OneThread{});
    return nullptr;
  }

  const char* keep_ranks(const GpuKeepRanks& step) const override {
    GpuKeepRanks a = step;
    count("keep_ranks");
    a.hidden = opened(a.hidden);
    a.number_of_row = opened(a.number_of_row);
    a.number = opened(a.number);
    a.scale = opened(a.scale);
    a.type == GpuType::f32 ? keep_ranks_elements<float>(a, OneThread{})
                           : keep_ranks_elements<GpuBfloat16>(a, OneThread{});
    return nullptr;
  }

  const char* store_rows(const GpuStoreRows& step) const override {
    GpuStoreRows a = step;
    count("store_rows");
    a.k = opened(a.k);
    a.v = opened(a.v);
    a.keys = opened(a.keys);
    a.values = opened(a.values);
    a.from = opened(a.from);
    a.to = opened(a.to);
    for (std::int64_t row = 0; row < a.rows; ++row) store_row(a, row, OneThread{});
    return nullptr;
  }

 private:
  static void count(const char* step) {
    count_operator();
    count_launch(step);
  }
};

[[maybe_unused]] const bool registered = [] {
  static const HostSteps steps;
  static const CudaBackend backend(&steps);
  add_backend(kEmulated, backend);
  return true;
}();

/// Products of 16 bits whose float32 sums are not rounded: only CUDA has them.
at::Tensor mm_with_type(const at::Tensor& a, const at::Tensor& b, at::ScalarType type) {
  count_operator();
  count_launch("mm");
  TORCH_CHECK(type == at::kFloat && a.scalar_type() == b.scalar_type() &&
                  (a.scalar_type() == at::kBFloat16 || a.scalar_type() == at::kHalf),
              "mm: float32 products are of two matrices of 16 bits, as on a GPU");
  TORCH_CHECK(a.device() == b.device(), "mm: matrices on ", a.device(), " and ", b.device());
  return moved_to_device(at::mm(host_view(a).to(at::kFloat), host_view(b).to(at::kFloat)), a.device());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("mm.dtype", mm_with_type);
}

}  // namespace
}  // namespace rocket::emulated
