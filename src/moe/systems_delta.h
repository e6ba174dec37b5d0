// Systems side by side on the rows of a batch: each sequence is the base's, an adapter's or a mixture's.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "adapters/bank_delta.h"
#include "moe/mixture_delta.h"

namespace rocket {

/// What answers: one adapter, a mixture, or the base alone where there is neither. Never both.
struct ModelSystem {
  std::shared_ptr<const LoraAdapter> adapter;
  const Mixture* mixture = nullptr;
};

/// The base's matrix products are shared by all rows; what a system adds is computed on its own rows.
class SystemsDelta : public LinearDelta {
 public:
  /// systems[s] serves the caller's sequence s. Sequences of one system should follow each other.
  explicit SystemsDelta(std::span<const ModelSystem> systems);

  void arrange(const PackedRows& rows) override;
  void add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor> outputs_TO) override;
  /// Where there is a mixture beside others, its rows change from step to step.
  StepLaunches step_launches() const override {
    if (mixtures_.empty()) return bank_.step_launches();
    return only_ != nullptr ? only_->step_launches() : StepLaunches{};
  }

 private:
  /// Rows of one mixture.
  struct Stretch {
    MixtureDelta* mixture;
    std::int64_t first_row, rows;
  };

  std::vector<const Mixture*> mixture_of_;  // a sequence; null: none
  BankDelta bank_;
  std::map<const Mixture*, MixtureDelta> mixtures_;
  MixtureDelta* only_ = nullptr;  // the mixture of all sequences, where it is one
  std::vector<Stretch> stretches_;
};

}  // namespace rocket
