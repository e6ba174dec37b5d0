// What is added to the base's frozen linear layers: nothing, adapters of a bank, or a mixture of experts.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <string>

#include "backend/backend.h"

namespace rocket {

/// A linear weight of the base that an adapter may change, in model order.
struct Module {
  std::string name;  // "model.layers.0.self_attn.q_proj"
  std::int64_t inputs = 0, outputs = 0;
  std::int64_t input = -1;  // modules of one number read the same input; -1: this one has its own

  std::string last_component() const { return name.substr(name.rfind('.') + 1); }  // "q_proj"
};

class LinearDelta {
 public:
  virtual ~LinearDelta() = default;

  /// Called at the start of each forward: which sequences its rows belong to.
  virtual void arrange(const PackedRows& rows) = 0;

  /// `modules` (indices into Decoder::modules()) read the same input x_TI, which is therefore read once;
  /// each outputs_TO[i] = base output of modules[i] is replaced by itself plus the delta, which `backend`
  /// computes.
  virtual void add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                   std::span<at::Tensor> outputs_TO) = 0;

  /// What its launches in a step depend on, as far as the forwards so far tell. Steps follow a forward that
  /// reads the texts.
  virtual StepLaunches step_launches() const { return {}; }

  /// Whether it looks at the input of this module. Of one that it does not, rows may be left out.
  virtual bool reads(std::int64_t /*module*/) const { return true; }
};

}  // namespace rocket
