// What a GPU of NVIDIA does better than LibTorch's operators.
#pragma once

#include "backend/torch/torch_backend.h"
#include "kernels/gpu.h"

namespace rocket {

class CudaBackend : public TorchBackend {
 public:
  /// `steps`: kernels of our own; null: LibTorch's operators do what these do, in more launches. `graphs`:
  /// asked each time.
  CudaBackend(const GpuSteps* steps, CaptureLaunches (*graphs)()) : steps_(steps), graphs_(graphs) {}

  at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const override;
  std::array<at::Tensor, 2> add_rms_norm(at::Tensor x_TD, const at::Tensor& y_TD, const at::Tensor& weight_D,
                                         double eps) const override;
  at::Tensor rotate(at::Tensor x_THK, const Rotation& rotation) const override;
  at::Tensor activate(Activation activation, at::Tensor gate_TI, const at::Tensor& up_TI) const override;
  at::Tensor attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                    const at::Tensor& v_TGK, const AttentionRule& rule) const override;
  std::unique_ptr<KvCache> make_cache(const CacheShape& shape) const override;
  std::int64_t cache_positions(const CacheShape& shape, std::int64_t weight_bytes) const override;
  at::Tensor logits(const HeadWeight& head, const at::Tensor& hidden_TD) const override;
  MixtureState add_mixture(const MixtureView& layer, const at::Tensor& x_TI, const InputDropout& dropout,
                           std::span<at::Tensor> outputs_TO) const override;
  MixtureGradients mixture_backward(const MixtureView& layer, const at::Tensor& x_TI,
                                    const InputDropout& dropout, const MixtureState& state,
                                    std::span<const at::Tensor> dy_TO, const LossGradients& losses,
                                    const WantedGradients& wanted) const override;
  void add_low_rank(const at::Tensor& x_TI, std::span<const LowRankSegment> segments,
                    const ServedRows& served, std::span<at::Tensor> outputs_TO,
                    std::unique_ptr<LowRankKept>& kept) const override;
  at::Tensor dropout_mask(const DropoutDraw& draw, std::int64_t features) const override;
  at::Tensor mean_rows(const at::Tensor& x_TD, const PackedRows& rows) const override;
  CaptureLaunches graphs() const override { return graphs_(); }

 protected:
  /// A share of the device's memory that does not depend on what else is held: the same bits each time.
  std::int64_t logits_at_once(at::Device device) const override;
  std::array<at::Tensor, 2> nll_and_gradient(const HeadWeight& head, const at::Tensor& hidden_TD,
                                             const at::Tensor& targets_T, bool wanted) const override;

 private:
  at::Tensor rms_norm_backward(const at::Tensor& dy_TD, const at::Tensor& dsum_TD, const at::Tensor& sum_TD,
                               const at::Tensor& weight_D, double eps) const;
  void turn(const at::Tensor& x_THK, const Rotation& rotation, bool back, at::Tensor& y_THK) const;

  const GpuSteps* steps_;
  CaptureLaunches (*graphs_)();
};

}  // namespace rocket
