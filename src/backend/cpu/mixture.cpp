#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/float_matrix.h"
#include "backend/cpu/product.h"
#include "backend/threads.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

constexpr std::int64_t kRowsPerBand = 96;

/// A matrix as the right side of products.
struct PackedMatrix {
  at::Tensor data;
  RightSide side;
};

PackedMatrix make_packed(std::int64_t inner, std::int64_t columns) {
  PackedMatrix packed{at::empty({packed_size(columns, inner)}, at::kFloat), {}};
  packed.side = {packed.data.const_data_ptr<float>(), kPanel, inner * kPanel};
  return packed;
}

/// m^T, from m [columns, inner].
PackedMatrix packed_transpose(const at::Tensor& m) {
  PackedMatrix packed = make_packed(m.size(1), m.size(0));
  kernels().pack(m.const_data_ptr<float>(), m.size(0), m.size(1), m.stride(0),
                 packed.data.mutable_data_ptr<float>());
  return packed;
}

/// m [inner, columns] itself.
PackedMatrix packed_rows(const at::Tensor& m) {
  PackedMatrix packed = make_packed(m.size(0), m.size(1));
  kernels().pack_rows(m.const_data_ptr<float>(), m.size(0), m.size(1), m.stride(0),
                      packed.data.mutable_data_ptr<float>());
  return packed;
}

std::vector<PackedMatrix> packed_all(std::span<const at::Tensor> matrices,
                                     PackedMatrix (*pack)(const at::Tensor&)) {
  std::vector<PackedMatrix> packed;
  for (const at::Tensor& m : matrices) packed.push_back(m.defined() ? pack(m) : PackedMatrix{});
  return packed;
}

/// work(first row, rows) on all threads; what comes out for a row does not depend on its band.
template <class Work>
void for_each_band(std::int64_t rows, const Work& work) {
  on_even_pieces(rows, kRowsPerBand, 1, [&](std::int64_t first, std::int64_t count) {
    const c10::InferenceMode inference;
    work(first, count);
  });
}

/// Rows of a float32 tensor.
float* row(const at::Tensor& t, std::int64_t i) {
  return t.mutable_data_ptr<float>() + i * t.stride(0);
}

/// The factors of all experts for one row: gate * scale.
class Factors {
 public:
  Factors(const MixtureView& layer, const at::Tensor& gates_TN)
      : columns_(layer.columns),
        gates_(gates_TN.defined() ? gates_TN.const_data_ptr<float>() : nullptr),
        scales_(layer.columns.scales.begin(), layer.columns.scales.end()) {}

  /// `room` holds a number for each expert.
  GatedRow of(std::int64_t t, const float* hidden, float* room) const {
    const std::int64_t experts = columns_.experts();
    for (std::int64_t e = 0; e < experts; ++e)
      room[e] = (gates_ != nullptr ? gates_[t * experts + e] : 1.0f) * scales_[static_cast<std::size_t>(e)];
    return {experts, columns_.first.data(), room, hidden};
  }
  float scale(std::int64_t e) const { return scales_[static_cast<std::size_t>(e)]; }

 private:
  const ExpertColumns& columns_;
  const float* gates_;
  std::vector<float> scales_;
};

/// Which features the experts see, and the factor of these.
struct KeptFeatures {
  at::Tensor kept_TI;  // undefined: all
  float scale = 1;
};

/// x: the rows from `first` on.
void drop_rows(const float* x, const KeptFeatures& kept, std::int64_t first, std::int64_t rows, float* out) {
  const std::int64_t width = kept.kept_TI.size(1);
  kernels().drop(x, kept.kept_TI.const_data_ptr<std::uint8_t>() + first * width, kept.scale, rows * width,
                 out);
}

void choose(const MixtureView& layer, std::int64_t t, const float* logits, const MixtureState& state) {
  for (std::int64_t m = 0; m < layer.columns.module_count(); ++m) {
    const std::int64_t e = layer.columns.modules[static_cast<std::size_t>(m)];
    row(state.log_sum_TM, t)[m] = kernels().route(logits + e, layer.columns.experts_of(m), layer.rule,
                                                  row(state.p_TN, t) + e, row(state.gates_TN, t) + e);
  }
}

/// The backward pass of one layer: first row by row, then the sums over all rows that make up the parameters'
/// gradients.
class Backward {
 public:
  Backward(const MixtureView& layer, const at::Tensor& x_TI, const KeptFeatures& kept,
           const MixtureState& state, std::span<const at::Tensor> dy_TO, const LossGradients& losses,
           const WantedGradients& wanted)
      : layer_(layer),
        x_TI_(x_TI),
        kept_(kept),
        state_(state),
        dy_TO_(dy_TO),
        losses_(losses),
        dp_N_(losses.dp(layer.columns, x_TI.size(0))),
        wanted_(wanted),
        factors_(layer, state.gates_TN),
        b_(packed_all(layer.b_OR, &packed_rows)) {
    dhidden_TR_ = at::empty_like(state.hidden_TR);
    if (wanted.experts) gated_TR_ = at::empty_like(state.hidden_TR);
    if (layer.columns.routed()) dlogits_TN_ = at::empty_like(state.p_TN);
    if (!wanted.x) return;
    dx_TI_ = at::empty_like(x_TI);
    a_ = packed_rows(layer.a_RI);
    if (dlogits_TN_.defined()) router_ = packed_rows(layer.router_NI);
  }

  MixtureGradients run() {
    for_each_band(x_TI_.size(0), [&](std::int64_t first, std::int64_t rows) { pass(first, rows); });
    MixtureGradients g{.dx_TI = dx_TI_};
    if (wanted_.experts) {
      g.da_RI = summed(dhidden_TR_, seen_by_experts());
      for (std::int64_t m = 0; m < layer_.columns.module_count(); ++m) g.db_OR.push_back(db(m));
    }
    if (wanted_.routers && dlogits_TN_.defined()) g.drouter_NI = summed(dlogits_TN_, x_TI_);
    return g;
  }

 private:
  void pass(std::int64_t first, std::int64_t rows) {
    const std::int64_t columns = layer_.columns.columns(), experts = layer_.columns.experts();
    ThreadRoom room(rows * columns + 2 * experts);
    float *dgated = room.take(rows * columns), *factors = room.take(experts), *dfactors = room.take(experts);
    into_gated(first, rows, dgated);
    for (std::int64_t t = first; t < first + rows; ++t) {
      const GatedRow gated = factors_.of(t, row(state_.hidden_TR, t), factors);
      kernels().gate_backward(gated, dgated + (t - first) * columns, row(dhidden_TR_, t), dfactors);
      if (gated_TR_.defined()) kernels().gate(gated, row(gated_TR_, t));
      if (dlogits_TN_.defined()) into_logits(t, dfactors);
    }
    if (wanted_.x) into_x(first, rows);
  }

  /// Gradients of the gated inner values of some rows.
  void into_gated(std::int64_t first, std::int64_t rows, float* dgated) const {
    const std::int64_t columns = layer_.columns.columns();
    for (std::int64_t m = 0; m < layer_.columns.module_count(); ++m) {
      const at::Tensor& dy_TO = dy_TO_[static_cast<std::size_t>(m)];
      float* out = dgated + layer_.columns.first_column_of(m);
      const std::int64_t width = layer_.columns.columns_of(m);
      if (!dy_TO.defined()) {
        for (std::int64_t t = 0; t < rows; ++t) std::fill_n(out + t * columns, width, 0.0f);
        continue;
      }
      kernels().multiply({rows, dy_TO.size(1), width, row(dy_TO, first), dy_TO.size(1),
                          b_[static_cast<std::size_t>(m)].side, out, columns, false});
    }
  }

  /// From the gradients of a row's factors to those of its logits; `dfactors` becomes those of the gates.
  void into_logits(std::int64_t t, float* dfactors) const {
    const ExpertColumns& columns = layer_.columns;
    for (std::int64_t e = 0; e < columns.experts(); ++e) dfactors[e] *= factors_.scale(e);
    for (std::int64_t m = 0; m < columns.module_count(); ++m) {
      const std::int64_t e = columns.modules[static_cast<std::size_t>(m)];
      kernels().route_backward(row(state_.p_TN, t) + e, row(state_.gates_TN, t) + e, dfactors + e,
                               columns.experts_of(m), layer_.rule, row(dlogits_TN_, t) + e);
      add_losses(t, m);
    }
  }

  void add_losses(std::int64_t t, std::int64_t m) const {
    if (!layer_.columns.has_choice(m)) return;
    const std::int64_t first = layer_.columns.modules[static_cast<std::size_t>(m)],
                       experts = layer_.columns.experts_of(m);
    const float* p = row(state_.p_TN, t) + first;
    float* dlogits = row(dlogits_TN_, t) + first;
    const auto z = static_cast<float>(losses_.z) * row(state_.log_sum_TM, t)[m];
    if (losses_.z != 0) {
      for (std::int64_t e = 0; e < experts; ++e) dlogits[e] += z * p[e];
    }
    if (!dp_N_.defined()) return;
    const double* dp = dp_N_.const_data_ptr<double>() + first;
    double mean = 0;
    for (std::int64_t e = 0; e < experts; ++e) mean += static_cast<double>(p[e]) * dp[e];
    for (std::int64_t e = 0; e < experts; ++e) dlogits[e] += p[e] * static_cast<float>(dp[e] - mean);
  }

  void into_x(std::int64_t first, std::int64_t rows) const {
    const std::int64_t width = x_TI_.size(1), columns = layer_.columns.columns(),
                       experts = layer_.columns.experts();
    float* dx = row(dx_TI_, first);
    kernels().multiply({rows, columns, width, row(dhidden_TR_, first), columns, a_.side, dx, width, false});
    if (kept_.kept_TI.defined()) drop_rows(dx, kept_, first, rows, dx);
    if (!dlogits_TN_.defined()) return;
    kernels().multiply(
        {rows, experts, width, row(dlogits_TN_, first), experts, router_.side, dx, width, true});
  }

  at::Tensor seen_by_experts() const {
    if (!kept_.kept_TI.defined()) return x_TI_;
    const at::Tensor seen_TI = at::empty_like(x_TI_);
    for_each_band(x_TI_.size(0), [&](std::int64_t first, std::int64_t rows) {
      drop_rows(row(x_TI_, first), kept_, first, rows, row(seen_TI, first));
    });
    return seen_TI;
  }

  /// left^T right: a sum over all rows.
  static at::Tensor summed(const at::Tensor& left_TM, const at::Tensor& right_TN) {
    at::Tensor sum_MN = at::empty({left_TM.size(1), right_TN.size(1)}, right_TN.options());
    multiply_into(sum_MN, left_TM.t().contiguous(), right_TN, false);
    return sum_MN;
  }

  at::Tensor db(std::int64_t m) const {
    const at::Tensor& dy_TO = dy_TO_[static_cast<std::size_t>(m)];
    if (!dy_TO.defined()) return {};
    return summed(layer_.columns.ranks_of_module(gated_TR_, m), dy_TO).t();
  }

  const MixtureView& layer_;
  const at::Tensor& x_TI_;
  const KeptFeatures kept_;
  const MixtureState& state_;
  std::span<const at::Tensor> dy_TO_;
  const LossGradients& losses_;
  const at::Tensor dp_N_;
  const WantedGradients& wanted_;
  Factors factors_;
  std::vector<PackedMatrix> b_;
  PackedMatrix a_, router_;
  at::Tensor dhidden_TR_, gated_TR_, dlogits_TN_, dx_TI_;
};

/// Of contiguous x and outputs, which are changed in place.
MixtureState forward(const MixtureView& layer, const at::Tensor& x_TI, const KeptFeatures& kept,
                     std::span<const at::Tensor> outputs_TO) {
  const std::int64_t tokens = x_TI.size(0), width = x_TI.size(1), columns = layer.columns.columns();
  const std::int64_t experts = layer.columns.experts(), modules = layer.columns.module_count();
  const at::TensorOptions floats = x_TI.options().dtype(at::kFloat);
  MixtureState state{.hidden_TR = at::empty({tokens, columns}, floats), .kept_TI = kept.kept_TI};
  if (layer.columns.routed()) {
    state.p_TN = at::empty({tokens, experts}, floats);
    state.gates_TN = at::empty({tokens, experts}, floats);
    state.log_sum_TM = at::empty({tokens, modules}, floats);
  }
  const PackedMatrix a = packed_transpose(layer.a_RI);
  const PackedMatrix router = layer.columns.routed() ? packed_transpose(layer.router_NI) : PackedMatrix{};
  const std::vector<PackedMatrix> b = packed_all(layer.b_OR, &packed_transpose);
  const Factors factors(layer, state.gates_TN);
  const FloatMatrix inputs(x_TI);
  const std::vector<FloatMatrix> outputs(outputs_TO.begin(), outputs_TO.end());
  for_each_band(tokens, [&](std::int64_t first, std::int64_t rows) {
    std::int64_t floats_of_outputs = 0;
    for (const FloatMatrix& y : outputs) floats_of_outputs += rows * y.columns();
    ThreadRoom room(rows * (2 * width + columns + experts) + experts + floats_of_outputs);
    const float* x = inputs.read_rows(first, rows, room);
    if (layer.columns.routed()) {
      float* logits = room.take(rows * experts);
      kernels().multiply({rows, width, experts, x, width, router.side, logits, experts, false});
      for (std::int64_t t = 0; t < rows; ++t) choose(layer, first + t, logits + t * experts, state);
    }
    const float* seen = x;
    if (kept.kept_TI.defined()) {
      float* dropped = room.take(rows * width);
      drop_rows(x, kept, first, rows, dropped);
      seen = dropped;
    }
    kernels().multiply(
        {rows, width, columns, seen, width, a.side, row(state.hidden_TR, first), columns, false});
    float *gated = room.take(rows * columns), *of_row = room.take(experts);
    for (std::int64_t t = 0; t < rows; ++t)
      kernels().gate(factors.of(first + t, row(state.hidden_TR, first + t), of_row), gated + t * columns);
    for (std::size_t m = 0; m < outputs.size(); ++m) {
      const auto module = static_cast<std::int64_t>(m);
      float* y = outputs[m].target_rows(first, rows, room);
      outputs[m].copy_to({first, rows, 0, outputs[m].columns()}, y);
      kernels().multiply({rows, layer.columns.columns_of(module), outputs[m].columns(),
                          gated + layer.columns.first_column_of(module), columns, b[m].side, y,
                          outputs[m].columns(), true});
      outputs[m].store_rows(first, rows, y);
    }
  });
  return state;
}

at::Tensor plain_float(const at::Tensor& x) {
  return x.defined() ? x.to(at::kFloat).contiguous() : x;
}

}  // namespace

MixtureState CpuBackend::add_mixture(const MixtureView& layer, const at::Tensor& x_TI,
                                     const InputDropout& dropout, std::span<at::Tensor> outputs_TO) const {
  for (at::Tensor& y : outputs_TO) y = y.contiguous();
  // Kept for the backward pass: drawing it costs more than its memory.
  const KeptFeatures kept{dropout.active() ? dropout_mask(dropout.draw, x_TI.size(1)) : at::Tensor(),
                          static_cast<float>(dropout.scale)};
  return forward(layer, x_TI.contiguous(), kept, outputs_TO);
}

MixtureGradients CpuBackend::mixture_backward(const MixtureView& layer, const at::Tensor& x_TI,
                                              const InputDropout& dropout, const MixtureState& state,
                                              std::span<const at::Tensor> dy_TO, const LossGradients& losses,
                                              const WantedGradients& wanted) const {
  std::vector<at::Tensor> dy;
  for (const at::Tensor& d : dy_TO) dy.push_back(plain_float(d));
  const at::Tensor x = plain_float(x_TI);
  MixtureGradients g =
      Backward(layer, x, {state.kept_TI, static_cast<float>(dropout.scale)}, state, dy, losses, wanted).run();
  if (g.dx_TI.defined()) g.dx_TI = g.dx_TI.to(x_TI.scalar_type());
  return g;
}

}  // namespace rocket
