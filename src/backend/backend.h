// What a model computes, in coarse steps, whoever computes it. `cpu/` computes on kernels of its own,
// `torch/` through LibTorch's operators on any device and type (the readable reference), `cuda/` what a GPU
// does better than these. All results lie on the device of what they are made of, in its type unless said
// otherwise.
#pragma once

#include <ATen/ATen.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/attention.h"
#include "backend/graph.h"
#include "backend/kv_cache.h"
#include "backend/low_rank.h"
#include "backend/mixture_step.h"
#include "backend/rows.h"
#include "backend/weights.h"
#include "formats/model_config.h"

namespace rocket {

/// cos and sin of the rows of a batch, [T, 1, R / 2] where R values of a head are turned, as
/// Backend::rotation_values() leaves them.
struct Rotation {
  at::Tensor cos, sin;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Frozen weights, as the products read them. `keep`: a second copy may be kept beside the weight where that
  // is faster.
  virtual LinearWeight prepare(at::Tensor weight_OI, bool keep) const = 0;
  virtual AffineWeights prepare_affine(at::Tensor weight_OI, at::Tensor bias_O) const = 0;
  virtual LinearWeight prepare_head(at::Tensor weight_VD, bool keep) const = 0;
  /// cosines or sines, float32 on the CPU, as rotate() reads them: rounded to `type`, on `device`.
  virtual at::Tensor rotation_values(const at::Tensor& x, at::ScalarType type, at::Device device) const = 0;

  // Steps of the decoder, differentiable with respect to what is no weight.
  /// x W^T + bias of weights that read the same x, [T, O] each. A bias may be undefined.
  virtual std::vector<at::Tensor> linear(const at::Tensor& x_TI, std::span<const LinearWeight* const> weights,
                                         std::span<const at::Tensor> bias_O) const = 0;
  /// LlamaRMSNorm: the mean square in float32. The product with the weight is taken in the weight's type: of
  /// a float32 weight and rows of bfloat16 it is rounded once.
  virtual at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double eps) const = 0;
  /// {x + y, its norm}; without gradients the sum may use the memory of x, which nobody else must hold.
  virtual std::array<at::Tensor, 2> add_rms_norm(at::Tensor x_TD, const at::Tensor& y_TD,
                                                 const at::Tensor& weight_D, double eps) const = 0;
  /// LayerNorm.
  virtual at::Tensor layer_norm(const at::Tensor& x_TD, const NormWeights& norm) const = 0;
  /// The first R values of each head of x [T, H, K] turned by half rotation: the pairs are (i, i + R / 2), as
  /// in transformers. May use the memory of x, which nobody else must hold.
  virtual at::Tensor rotate(at::Tensor x_THK, const Rotation& rotation) const = 0;
  /// Attention within each sequence of the batch: q [T, H, K], k and v [T, G, K] with G key heads (H a
  /// multiple of G). Returns [T, H * K].
  virtual at::Tensor attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                            const at::Tensor& v_TGK, const AttentionRule& rule) const = 0;
  /// activation(gate) * up, or activation(gate) where `up` is undefined; may use the memory of `gate`, which
  /// nobody else must hold.
  virtual at::Tensor activate(Activation activation, at::Tensor gate_TI, const at::Tensor& up_TI) const = 0;
  /// The keys and values of a generation. Not differentiable.
  virtual std::unique_ptr<KvCache> make_cache(const CacheShape& shape) const = 0;
  /// Memory that the cache takes for a position of a sequence.
  virtual std::int64_t cache_bytes(const CacheShape& shape) const = 0;
  /// Positions that the device has memory for beside a model of `weight_bytes`; 0: as many as a forward has
  /// rows.
  virtual std::int64_t cache_positions(const CacheShape& shape, std::int64_t weight_bytes) const = 0;

  // The head, never as a [T, V] tensor but for logits(); sums are float32.
  /// [T, V] float32.
  virtual at::Tensor logits(const HeadWeight& head, const at::Tensor& hidden_TD) const = 0;
  /// -log p of `targets_T` (int64) under the rows, [T] float32, natural log; differentiable with respect to
  /// `hidden_TD`.
  virtual at::Tensor nll(const HeadWeight& head, const at::Tensor& hidden_TD,
                         const at::Tensor& targets_T) const = 0;
  /// The largest logit's id of each row, [T] int64; the lowest id on a tie.
  virtual at::Tensor best(const HeadWeight& head, const at::Tensor& hidden_TD) const = 0;

  // Steps of the encoder, without gradients.
  /// x W^T + b.
  virtual at::Tensor affine(const AffineWeights& weights, const at::Tensor& x_TI) const = 0;
  /// gelu(x W^T + b). `exact`: with erf; else the tanh approximation ("gelu_new").
  virtual at::Tensor affine_gelu(const AffineWeights& weights, const at::Tensor& x_TI, bool exact) const = 0;
  /// LayerNorm(x W^T + b + residual).
  virtual at::Tensor affine_norm(const AffineWeights& weights, const at::Tensor& x_TI,
                                 const at::Tensor& residual_TO, const NormWeights& norm) const = 0;
  /// LayerNorm(word + type + position).
  virtual at::Tensor embedded(const EmbeddingWeights& weights, const at::Tensor& ids_T,
                              const at::Tensor& positions_T) const = 0;
  /// Attention within each sequence, all rows to all: q, k and v [T, H, K]. Scores have a number added that
  /// depends on the head and on the key's distance from the query: [H, 2 L - 1], from -(L - 1) to L - 1, of
  /// sequences of at most L rows. Returns [T, H * K].
  virtual at::Tensor attend_by_distance(const AttentionRows& rows, const at::Tensor& q_THK,
                                        const at::Tensor& k_THK, const at::Tensor& v_THK,
                                        const at::Tensor& distances_HN) const = 0;
  /// The mean of each sequence's rows, [S, D] float32.
  virtual at::Tensor mean_rows(const at::Tensor& x_TD, const PackedRows& rows) const = 0;

  // Adapters of many texts on the rows of a batch, without gradients.
  /// The weights of one adapter on modules that read the same input, of which it adapts at least one.
  virtual std::unique_ptr<const LowRankInput> prepare_low_rank(std::span<const LowRank> of_modules) const = 0;
  /// Adds what each segment's adapter makes of its rows of x to those of the outputs.
  /// `kept` begins empty, and comes back with each call on the same modules. While it is the same and not
  /// empty, the launches do not depend on `segments`.
  virtual void add_low_rank(const at::Tensor& x_TI, std::span<const LowRankSegment> segments,
                            const ServedRows& served, std::span<at::Tensor> outputs_TO,
                            std::unique_ptr<LowRankKept>& kept) const = 0;

  // A mixture on the modules that read one input: docs/method.md section 7. x and outputs without gradients.
  /// Replaces each output by itself plus the mixture; may use its memory.
  virtual MixtureState add_mixture(const MixtureView& layer, const at::Tensor& x_TI,
                                   const InputDropout& dropout, std::span<at::Tensor> outputs_TO) const = 0;
  virtual MixtureGradients mixture_backward(const MixtureView& layer, const at::Tensor& x_TI,
                                            const InputDropout& dropout, const MixtureState& state,
                                            std::span<const at::Tensor> dy_TO, const LossGradients& losses,
                                            const WantedGradients& wanted) const = 0;
  /// Which of `features` features of each row are kept: uint8 [T, features], the bits of kernels'
  /// dropout_mask.
  virtual at::Tensor dropout_mask(const DropoutDraw& draw, std::int64_t features) const = 0;

  /// sqrt of the sum of squares of a float32 vector, in float64 and in an order that does not depend on the
  /// number of threads.
  virtual double l2_norm(const at::Tensor& values_P) const = 0;

  // Inner products between the rows of two groups of panels [panels, inner, kGramPanel] (kernels/gram.h),
  // float32 or float64: float64 on the CPU, the columns of `b` beside each other.
  /// Rows of a group.
  virtual std::int64_t gram_rows() const = 0;
  virtual at::Tensor gram(const at::Tensor& a, const at::Tensor& b) const = 0;

  /// How steps are recorded and repeated, null where they are not. To be asked where a device computes.
  virtual CaptureLaunches graphs() const = 0;

  // Batches of one rank.
  /// Whether a layer of `hidden` x `intermediate` is so small that a batch on each thread is worth more than
  /// one batch on all of them: threads then meet once, not at every product.
  virtual bool side_by_side(std::int64_t hidden, std::int64_t intermediate) const = 0;
  /// Rows of one forward, at most `batch_tokens`.
  virtual std::int64_t rows_of_batch(std::int64_t batch_tokens, bool side_by_side) const = 0;
};

/// The one place where the device and the type of a computation choose who computes.
const Backend& backend_for(at::Device device, at::ScalarType compute);

/// Who computes for a kind of device that only tests have. To be called before main().
void add_backend(at::DeviceType type, const Backend& backend);

}  // namespace rocket
