// What a GPU of NVIDIA does better than LibTorch's operators.
#pragma once

#include "backend/torch/torch_backend.h"
#include "kernels/gpu.h"

namespace rocket {

class CudaBackend : public TorchBackend {
 public:
  /// `steps`: kernels of our own; null: LibTorch's operators do what these do, in more launches.
  explicit CudaBackend(const GpuSteps* steps) : steps_(steps) {}

  at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const override;
  std::array<at::Tensor, 2> add_rms_norm(at::Tensor x_TD, const at::Tensor& y_TD, const at::Tensor& weight_D,
                                         double eps) const override;
  at::Tensor rotate(at::Tensor x_THK, const Rotation& rotation) const override;
  at::Tensor silu_times(at::Tensor gate_TI, const at::Tensor& up_TI) const override;
  at::Tensor attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                    const at::Tensor& v_TGK, const Mask& mask) const override;
  std::unique_ptr<KvCache> make_cache(const CacheShape& shape) const override;
  at::Tensor logits(const LinearWeight& head, const at::Tensor& hidden_TD) const override;
  void add_low_rank(const at::Tensor& x_TI, std::span<const LowRankSegment> segments,
                    const ServedRows& served, std::span<at::Tensor> outputs_TO,
                    std::unique_ptr<LowRankKept>& kept) const override;
  at::Tensor dropout_mask(const DropoutDraw& draw, std::int64_t features) const override;

 private:
  const GpuSteps* steps_;
};

}  // namespace rocket
