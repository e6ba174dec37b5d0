#include <algorithm>
#include <memory>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/threads.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

constexpr std::int64_t kRowsPerPiece = 128;  // of a segment, for one thread

/// B of one of the modules, as the kernels read it: scale * B^T, [R, O padded].
struct Output {
  std::size_t index = 0;    // among the modules
  std::int64_t column = 0;  // of its first row of A among all
  std::int64_t lora_r = 0;
  at::Tensor b_RO;
};

/// All A side by side, packed, so that x is read once.
struct PackedLowRank : LowRankInput {
  std::int64_t columns = 0;
  at::Tensor packed_a;
  std::vector<Output> outputs;
};

void add_segment(const LowRankSegment& segment, const at::Tensor& x_TI, std::span<at::Tensor> outputs_TO) {
  const auto& shared = static_cast<const PackedLowRank&>(*segment.adapter);
  const std::int64_t inputs = x_TI.size(1), columns = shared.columns;
  const std::int64_t pieces = (segment.rows + kRowsPerPiece - 1) / kRowsPerPiece;
  on_threads(pieces, [&](std::int64_t i) {
    thread_local std::vector<float> hidden;
    const std::int64_t begin = segment.rows * i / pieces, rows = segment.rows * (i + 1) / pieces - begin;
    const std::int64_t first = segment.first_row + begin;
    hidden.resize(static_cast<std::size_t>(rows * columns));
    kernels().multiply({rows,
                        inputs,
                        columns,
                        x_TI.const_data_ptr<float>() + first * inputs,
                        inputs,
                        {shared.packed_a.const_data_ptr<float>(), kPanel, inputs * kPanel},
                        hidden.data(),
                        columns,
                        false});
    for (const Output& output : shared.outputs) {
      at::Tensor& y_TO = outputs_TO[output.index];
      const std::int64_t width = y_TO.size(1);
      kernels().multiply({rows,
                          output.lora_r,
                          width,
                          hidden.data() + output.column,
                          columns,
                          {output.b_RO.const_data_ptr<float>(), width, kPanel},
                          y_TO.mutable_data_ptr<float>() + first * width,
                          width,
                          true});
    }
  });
}

bool in_float(std::span<const LowRank> of_modules) {
  return std::ranges::any_of(
      of_modules, [](const LowRank& w) { return w.a_RI.defined() && w.a_RI.scalar_type() == at::kFloat; });
}

}  // namespace

std::unique_ptr<const LowRankInput> CpuBackend::prepare_low_rank(std::span<const LowRank> of_modules) const {
  if (!in_float(of_modules)) return TorchBackend::prepare_low_rank(of_modules);
  auto shared = std::make_unique<PackedLowRank>();
  std::vector<at::Tensor> all;
  for (std::size_t i = 0; i < of_modules.size(); ++i) {
    const LowRank& weight = of_modules[i];
    if (!weight.a_RI.defined()) continue;
    const std::int64_t r = weight.lora_r(), outputs = weight.b_OR.size(0);
    const at::Tensor b_RO = weight.b_OR.t() * weight.scale;
    // The kernels read on to a whole vector behind the last column of the last row.
    at::Tensor readable = at::zeros({r * outputs + kReadAhead}, b_RO.options());
    readable.narrow(0, 0, r * outputs).copy_(b_RO.reshape({-1}));
    shared->outputs.push_back({i, shared->columns, r, readable});
    shared->columns += r;
    all.push_back(weight.a_RI);
  }
  const at::Tensor a_RI = at::cat(all).contiguous();
  shared->packed_a = at::empty({packed_size(shared->columns, a_RI.size(1))}, a_RI.options());
  kernels().pack(a_RI.const_data_ptr<float>(), shared->columns, a_RI.size(1), a_RI.size(1),
                 shared->packed_a.mutable_data_ptr<float>());
  return shared;
}

/// Adapters in bfloat16 go through LibTorch.
void CpuBackend::add_low_rank(const at::Tensor& x_TI, std::span<const LowRankSegment> segments,
                              const ServedRows& served, std::span<at::Tensor> outputs_TO,
                              std::unique_ptr<LowRankKept>& kept) const {
  if (x_TI.scalar_type() != at::kFloat)
    return TorchBackend::add_low_rank(x_TI, segments, served, outputs_TO, kept);
  for (const LowRankSegment& segment : segments) add_segment(segment, x_TI, outputs_TO);
}

}  // namespace rocket
