// The mixture: the experts of every adapted layer and their routers, as views of one flat float32 buffer.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "adapters/lora.h"

namespace rocket {

enum class RouterKind { linear, arrow };

struct MixtureOptions {
  std::int64_t top_k = 2;
  double top_p = 1;  // see RoutingRule
  RouterKind router = RouterKind::linear;
  std::uint64_t seed = 0;
};

/// One adapted weight: its experts side by side. The tensors are float32 views into Mixture::flat().
struct MixtureModule {
  std::int64_t module = 0;            // index into Decoder::modules()
  std::vector<std::int64_t> experts;  // indices into Mixture::expert_names(), ascending
  std::vector<std::int64_t> ranks;    // lora_r of each
  std::vector<double> scales;
  at::Tensor a_RI;       // [sum of ranks, d_in]: the experts' A, stacked
  at::Tensor b_OR;       // [d_out, sum of ranks]: the experts' B, side by side
  at::Tensor router_NI;  // [N_w, d_in]
};

/// A named range of the flat buffer, for checkpoints and for weight decay. Of modules that read one input the
/// A follow each other, then the routers, then the B: one product then serves all A, and one all routers.
struct ParameterRange {
  std::string name;  // "<module>.lora_A", "<module>.lora_B", "<module>.router.weight"
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0, count = 0;
  bool router = false;
};

class Mixture {
 public:
  /// Experts start from the adapters' A and B, routers from U(+-1/sqrt(d_in)) by seed, or from `arrow`.
  static Mixture assemble(std::span<const LoraAdapter> experts, std::span<const Module> modules,
                          const MixtureOptions& options, at::Device device);

  const MixtureOptions& options() const { return options_; }
  const std::vector<std::string>& expert_names() const { return expert_names_; }
  /// Adapted weights in model order.
  const std::vector<MixtureModule>& modules() const { return modules_; }
  /// Position in modules() of a module of the base, -1 if no expert adapts it.
  std::int64_t position(std::int64_t module) const;

  at::Tensor& flat() { return flat_P; }
  const at::Tensor& flat() const { return flat_P; }
  const std::vector<ParameterRange>& ranges() const { return ranges_; }

  /// From now on the views are leaves of autograd whose gradients are added up in `gradient_P`, laid out like
  /// flat(); with `routers_only` only the routers are. An undefined tensor ends it.
  void track_gradient(const at::Tensor& gradient_P, bool routers_only = false);
  /// While gradients are tracked: calls `added` each time that a backward pass has added to one of a range.
  void after_gradient(const std::function<void(const ParameterRange&)>& added) const;
  /// The ranges to whose gradients no backward pass adds: what is not tracked, and routers without a choice.
  std::vector<ParameterRange> without_gradient() const;

  /// The expert i as an adapter again (for exports and for the comparison of single experts).
  LoraAdapter expert(std::int64_t i) const;

 private:
  /// Where a module's parameters stand in ranges_.
  struct Places {
    std::size_t a = 0, b = 0, router = 0;
  };

  void lay_out(std::span<const LoraAdapter> experts, std::span<const Module> modules);
  void lay_out_group(std::size_t first, std::span<const Module> modules);
  std::size_t add_range(const std::string& name, std::int64_t rows, std::int64_t columns, bool router);
  void view_parameters();

  MixtureOptions options_;
  std::vector<std::string> expert_names_;
  std::vector<MixtureModule> modules_;
  std::vector<ParameterRange> ranges_;
  std::vector<Places> places_;  // by position in modules_
  at::Tensor flat_P;
};

}  // namespace rocket
