#include "backend/cpu/cpu_backend.h"
#include "backend/torch/torch_backend.h"

namespace rocket {

/// Drawn on the CPU: LibTorch has no generator of these bits.
at::Tensor TorchBackend::dropout_mask(const DropoutDraw& draw, std::int64_t features) const {
  const at::Device device = draw.upper_T.device();
  return cpu_backend()
      .dropout_mask({draw.upper_T.cpu(), draw.lower_T.cpu(), draw.key, draw.input, draw.threshold}, features)
      .to(device);
}

}  // namespace rocket
