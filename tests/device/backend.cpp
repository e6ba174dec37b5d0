// The emulated device takes the way of CUDA, with what only a card can do put in its place.
#include <torch/library.h>

#include "backend/cuda/cuda_backend.h"
#include "device/counts.h"
#include "device/host_view.h"

namespace rocket::emulated {
namespace {

class EmulatedBackend final : public CudaBackend {
 public:
  at::Tensor dropout_mask(const DropoutDraw& draw, std::int64_t features) const override {
    return TorchBackend::dropout_mask(draw, features);
  }
};

[[maybe_unused]] const bool registered = [] {
  static const EmulatedBackend backend;
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
