// Through LibTorch's operators, on any device and type: the readable reference.
#pragma once

#include <array>

#include "backend/backend.h"

namespace rocket {

class TorchBackend : public Backend {
 public:
  LinearWeight prepare(at::Tensor weight_OI, bool keep) const override;
  AffineWeights prepare_affine(at::Tensor weight_OI, at::Tensor bias_O) const override;
  LinearWeight prepare_head(at::Tensor weight_VD, bool keep) const override;
  at::Tensor rotation_values(const at::Tensor& x, at::ScalarType type, at::Device device) const override;

  std::vector<at::Tensor> linear(const at::Tensor& x_TI, std::span<const LinearWeight* const> weights,
                                 std::span<const at::Tensor> bias_O) const override;
  at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const override;
  std::array<at::Tensor, 2> add_rms_norm(at::Tensor x_TD, const at::Tensor& y_TD, const at::Tensor& weight_D,
                                         double eps) const override;
  at::Tensor layer_norm(const at::Tensor& x_TD, const NormWeights& norm) const override;
  at::Tensor rotate(at::Tensor x_THK, const Rotation& rotation) const override;
  at::Tensor attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                    const at::Tensor& v_TGK, const AttentionRule& rule) const override;
  at::Tensor activate(Activation activation, at::Tensor gate_TI, const at::Tensor& up_TI) const override;
  std::unique_ptr<KvCache> make_cache(const CacheShape& shape) const override;
  std::int64_t cache_bytes(const CacheShape& shape) const override;
  std::int64_t cache_positions(const CacheShape& shape, std::int64_t weight_bytes) const override;

  at::Tensor logits(const HeadWeight& head, const at::Tensor& hidden_TD) const override;
  at::Tensor nll(const HeadWeight& head, const at::Tensor& hidden_TD,
                 const at::Tensor& targets_T) const final;
  at::Tensor best(const HeadWeight& head, const at::Tensor& hidden_TD) const override;

  at::Tensor affine(const AffineWeights& weights, const at::Tensor& x_TI) const override;
  at::Tensor affine_gelu(const AffineWeights& weights, const at::Tensor& x_TI, bool exact) const override;
  at::Tensor affine_norm(const AffineWeights& weights, const at::Tensor& x_TI, const at::Tensor& residual_TO,
                         const NormWeights& norm) const override;
  at::Tensor embedded(const EmbeddingWeights& weights, const at::Tensor& ids_T,
                      const at::Tensor& positions_T) const override;
  at::Tensor attend_by_distance(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_THK,
                                const at::Tensor& v_THK, const at::Tensor& distances_HN) const override;
  at::Tensor mean_rows(const at::Tensor& x_TD, const PackedRows& rows) const override;

  std::unique_ptr<const LowRankInput> prepare_low_rank(std::span<const LowRank> of_modules) const override;
  void add_low_rank(const at::Tensor& x_TI, std::span<const LowRankSegment> segments,
                    const ServedRows& served, std::span<at::Tensor> outputs_TO,
                    std::unique_ptr<LowRankKept>& kept) const override;

  MixtureState add_mixture(const MixtureView& layer, const at::Tensor& x_TI, const InputDropout& dropout,
                           std::span<at::Tensor> outputs_TO) const override;
  MixtureGradients mixture_backward(const MixtureView& layer, const at::Tensor& x_TI,
                                    const InputDropout& dropout, const MixtureState& state,
                                    std::span<const at::Tensor> dy_TO, const LossGradients& losses,
                                    const WantedGradients& wanted) const override;
  at::Tensor dropout_mask(const DropoutDraw& draw, std::int64_t features) const override;

  double l2_norm(const at::Tensor& values_P) const override;
  std::int64_t gram_rows() const override;
  at::Tensor gram(const at::Tensor& a, const at::Tensor& b) const override;
  CaptureLaunches graphs() const override;
  bool side_by_side(std::int64_t hidden, std::int64_t intermediate) const override;
  std::int64_t rows_of_batch(std::int64_t batch_tokens, bool side_by_side) const override;

 protected:
  /// x W^T, and the gradient of x from that, added to `dx_TI` where that is defined.
  virtual at::Tensor product(const LinearWeight& weight, const at::Tensor& x_TI) const;
  virtual void add_product_gradient(const LinearWeight& weight, const at::Tensor& dy_TO,
                                    at::Tensor& dx_TI) const;
  /// Products of rows and head as logits.
  static at::Tensor logits_of(const HeadWeight& head, at::Tensor products_TV);
  /// Elements of logits that exist at one time in nll().
  virtual std::int64_t logits_at_once(at::Device device) const;
  /// {nll [T], its gradient with respect to each row [T, D] float32 where `wanted`}.
  virtual std::array<at::Tensor, 2> nll_and_gradient(const HeadWeight& head, const at::Tensor& hidden_TD,
                                                     const at::Tensor& targets_T, bool wanted) const;
};

const Backend& torch_backend();

}  // namespace rocket
