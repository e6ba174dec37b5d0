// The mixture on the rows of a batch: METHOD section 5 as two matrix products for all experts of a layer.
#pragma once

#include <cstdint>
#include <vector>

#include "model/linear_delta.h"
#include "moe/dropout.h"
#include "moe/mixture.h"
#include "moe/mixture_layer.h"

namespace rocket {

/// Each call of add() brings all modules of one input that the mixture may adapt.
class MixtureDelta : public LinearDelta {
 public:
  /// For evaluation: no dropout, no statistics.
  explicit MixtureDelta(const Mixture& mixture);
  /// For training: dropout, the gradients of router losses, and the statistics below are collected.
  MixtureDelta(const Mixture& mixture, DropoutKey dropout, const RouterLosses& losses = {});

  void arrange(const PackedRows& rows) override;
  void add(const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor> outputs_TO) override;

  /// Per adapted weight [N]: how often each expert was chosen since construction (zeros for experts that the
  /// weight does not have). Training only, as what follows.
  std::vector<std::vector<double>> choices() const;
  /// The router losses of the rows of the last forward, summed over adapted weights.
  double balance_loss() const;
  double z_loss() const;

 private:
  void count(std::size_t position, const RouterStatistics& statistics);

  const Mixture& mixture_;
  Dropout dropout_{DropoutKey{}};
  RouterLosses losses_;
  bool training_ = false;
  std::vector<RouterStatistics> statistics_;  // by position in Mixture::modules(); of the last forward
  std::vector<bool> seen_;                    // whose rows of this forward have been counted
  std::vector<std::vector<double>> choices_;
};

}  // namespace rocket
