// The mixture on the rows of a batch: docs/method.md section 7, two matrix products for all experts.
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
  /// For evaluation: no dropout, nothing is counted.
  explicit MixtureDelta(const Mixture& mixture);
  /// For training: dropout, the gradients of router losses, and choices are counted.
  MixtureDelta(const Mixture& mixture, DropoutKey dropout, const RouterLosses& losses = {});

  void arrange(const PackedRows& rows) override;
  void add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor> outputs_TO) override;
  /// Rows differ in values alone; choices are counted in training, which has no steps.
  StepLaunches step_launches() const override { return {.fixed = !training_}; }
  bool reads(std::int64_t module) const override { return mixture_.position(module) >= 0; }

  /// Per adapted weight [N]: how often each expert was chosen since construction (zeros for experts that the
  /// weight does not have). Training only. Waits for the device.
  std::vector<std::vector<float>> choices() const;

 private:
  void count(std::size_t position, const at::Tensor& choices_N);

  const Mixture& mixture_;
  Dropout dropout_{DropoutKey{}};
  RouterLosses losses_;
  bool training_ = false;
  std::vector<bool> seen_;             // by position in Mixture::modules(): counted in this forward
  std::vector<at::Tensor> choices_N_;  // by position, of the experts that the weight has
};

}  // namespace rocket
