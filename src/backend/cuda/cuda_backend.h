// What a GPU of NVIDIA does better than LibTorch's operators.
#pragma once

#include "backend/torch/torch_backend.h"

namespace rocket {

class CudaBackend : public TorchBackend {
 public:
  at::Tensor attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                    const at::Tensor& v_TGK, const Mask& mask) const override;
  std::unique_ptr<KvCache> make_cache(const CacheShape& shape) const override;
  at::Tensor logits(const LinearWeight& head, const at::Tensor& hidden_TD) const override;
  at::Tensor dropout_mask(const DropoutDraw& draw, std::int64_t features) const override;
};

}  // namespace rocket
