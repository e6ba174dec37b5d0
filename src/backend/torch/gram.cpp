#include "kernels/gram.h"

#include "backend/torch/torch_backend.h"

namespace rocket {

/// A GPU wants large products.
std::int64_t TorchBackend::gram_rows() const {
  return 4096;
}

at::Tensor TorchBackend::gram(const at::Tensor& a, const at::Tensor& b) const {
  const auto plain = [](const at::Tensor& panels) {
    return panels.permute({0, 2, 1}).reshape({-1, panels.size(1)}).to(at::kDouble);
  };
  return at::mm(plain(a), plain(b).t()).cpu();
}

}  // namespace rocket
