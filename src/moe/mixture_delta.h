// The mixture on the rows of a batch: METHOD section 5 as two matrix products for all experts of a layer.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/linear_delta.h"
#include "moe/mixture.h"

namespace rocket {

/// Dropout that is a function of (seed, step, record, input, position, feature): neither the company in the
/// batch nor the number of ranks changes it. One Philox block decides four neighbouring features.
struct DropoutKey {
  double probability = 0;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::vector<std::int64_t> records;  // of each sequence of the batch
};

/// Serves one setting of the mixture's parameters: what is cast to the compute type is kept.
class MixtureDelta : public LinearDelta {
 public:
  /// For evaluation: no dropout, no statistics.
  explicit MixtureDelta(const Mixture& mixture);
  /// For training: dropout, and the router statistics below are collected.
  MixtureDelta(const Mixture& mixture, DropoutKey dropout);

  void arrange(const PackedRows& rows) override;
  void add(const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor> outputs_TO) override;

  /// Per adapted weight [N]: how often each expert was chosen since construction (float64, CPU; zeros for
  /// experts that the weight does not have). Training only.
  std::vector<std::vector<double>> choices() const;
  /// Switch balance loss sum_i N f_i P_i (f_i = expert i's share of the choices, so that an even load gives 1
  /// for any top_k; P_i = mean of its p) and z loss mean(logsumexp^2), each a sum over adapted weights of the
  /// mean over tokens, differentiable scalars. Training only.
  at::Tensor balance_loss() const;
  at::Tensor z_loss() const;

 private:
  struct State;
  const Mixture& mixture_;
  std::shared_ptr<State> state_;
};

/// The gates of a router: [T, N], zero for experts that are not chosen. softmax in float32, the top_k largest
/// (ties: lowest expert) renormalised to sum 1; where top_k is 1 of several, the unnormalised p.
at::Tensor gates(const at::Tensor& logits_TN, std::int64_t top_k);

}  // namespace rocket
