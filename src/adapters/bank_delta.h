// Adapters of a bank on the rows of a batch: each sequence has its own adapter or none.
#pragma once

#include <map>
#include <memory>
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
  void add(const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor> outputs_TO) override;

 private:
  struct Segment {
    const LoraAdapter* adapter;
    std::int64_t first_row, rows;
  };
  /// B of one of the modules that share an input, as the kernels read it: scale * B^T, [R, O padded].
  struct Output {
    std::size_t index = 0;    // among the modules of the call
    std::int64_t column = 0;  // of its first row of A among all
    std::int64_t lora_r = 0;
    at::Tensor b_RO;
  };
  /// An adapter's weights of modules that share an input: all A side by side, packed, so that x is read once.
  struct SharedInput {
    std::int64_t columns = 0;
    at::Tensor packed_a;
    std::vector<Output> outputs;
  };

  const SharedInput& shared_input(const LoraAdapter& adapter, std::span<const std::int64_t> modules);
  void add_on_kernels(const Segment& segment, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                      std::span<at::Tensor> outputs_TO);

  std::vector<std::shared_ptr<const LoraAdapter>> adapters_;
  std::vector<Segment> segments_;
  std::map<std::pair<const LoraAdapter*, std::int64_t>, SharedInput> prepared_;  // by first module of a call
};

}  // namespace rocket
