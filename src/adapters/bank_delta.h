// Adapters of a bank on the rows of a batch: each sequence has its own adapter or none.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "adapters/lora.h"
#include "model/linear_delta.h"

namespace rocket {

/// The base's matrix product is shared by all rows; each adapter's part is computed on its own rows, so
/// sequences of one adapter should lie side by side.
class BankDelta : public LinearDelta {
 public:
  /// adapters[s] serves the caller's sequence s; null = base alone.
  explicit BankDelta(std::vector<std::shared_ptr<const LoraAdapter>> adapters);
  void arrange(const PackedRows& rows) override;
  void add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor> outputs_TO) override;
  StepLaunches step_launches() const override { return launches_; }

 private:
  /// Null where the adapter leaves all of these modules alone.
  const LowRankInput* prepared(const Backend& backend, const LoraAdapter& adapter,
                               std::span<const std::int64_t> modules);

  std::vector<std::shared_ptr<const LoraAdapter>> adapters_;
  std::unordered_map<const LoraAdapter*, std::int64_t> numbers_;
  std::vector<const LoraAdapter*> numbered_;
  std::vector<LowRankSegment> segments_;  // without what a backend has prepared, which each call fills in
  std::optional<ServedRows> served_;
  StepLaunches launches_{.fixed = true};
  /// By adapter and first module of a call.
  std::map<std::pair<const LoraAdapter*, std::int64_t>, std::unique_ptr<const LowRankInput>> prepared_;
  std::unordered_map<std::int64_t, std::unique_ptr<LowRankKept>> kept_;  // by first module of a call
};

}  // namespace rocket
