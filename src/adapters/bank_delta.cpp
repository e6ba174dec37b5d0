#include "adapters/bank_delta.h"

#include "kernels/kernels.h"
#include "model/product.h"
#include "model/threads.h"

namespace rocket {
namespace {

constexpr std::int64_t kRowsPerPiece = 128;  // of a segment, for one thread

void add_through_libtorch(const at::Tensor& x_TI, const LoraWeight& weight, at::Tensor&& output_TO) {
  output_TO.add_(at::mm(at::mm(x_TI, weight.a_RI.t()), weight.b_OR.t()), /*alpha=*/weight.scale);
}

}  // namespace

BankDelta::BankDelta(std::vector<std::shared_ptr<const LoraAdapter>> adapters)
    : adapters_(std::move(adapters)) {
}

void BankDelta::arrange(const PackedRows& rows) {
  segments_.clear();
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    const LoraAdapter* adapter = adapters_.at(static_cast<std::size_t>(rows.sequences[s])).get();
    const std::int64_t first = rows.starts[s], count = rows.starts[s + 1] - first;
    if (!segments_.empty() && segments_.back().adapter == adapter) {
      segments_.back().rows += count;
    } else {
      segments_.push_back({adapter, first, count});
    }
  }
}

void BankDelta::add(const at::Tensor& x_TI, std::span<const std::int64_t> modules,
                    std::span<at::Tensor> outputs_TO) {
  for (const Segment& segment : segments_) {
    if (segment.adapter == nullptr) continue;
    if (on_kernels(x_TI)) {
      add_on_kernels(segment, x_TI, modules, outputs_TO);
      continue;
    }
    for (std::size_t i = 0; i < modules.size(); ++i) {
      const LoraWeight* weight = segment.adapter->find(modules[i]);
      if (weight == nullptr) continue;
      add_through_libtorch(x_TI.narrow(0, segment.first_row, segment.rows), *weight,
                           outputs_TO[i].narrow(0, segment.first_row, segment.rows));
    }
  }
}

const BankDelta::SharedInput& BankDelta::shared_input(const LoraAdapter& adapter,
                                                      std::span<const std::int64_t> modules) {
  const auto [it, fresh] = prepared_.try_emplace({&adapter, modules.front()});
  SharedInput& shared = it->second;
  if (!fresh) return shared;
  std::vector<at::Tensor> all;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const LoraWeight* weight = adapter.find(modules[i]);
    if (weight == nullptr) continue;
    const std::int64_t r = weight->lora_r(), outputs = weight->b_OR.size(0);
    const at::Tensor b_RO = weight->b_OR.t() * weight->scale;
    // The kernels read on to a whole vector behind the last column of the last row.
    at::Tensor readable = at::zeros({r * outputs + kReadAhead}, b_RO.options());
    readable.narrow(0, 0, r * outputs).copy_(b_RO.reshape({-1}));
    shared.outputs.push_back({i, shared.columns, r, readable});
    shared.columns += r;
    all.push_back(weight->a_RI);
  }
  if (all.empty()) return shared;
  const at::Tensor a_RI = at::cat(all).contiguous();
  shared.packed_a = at::empty({packed_size(shared.columns, a_RI.size(1))}, a_RI.options());
  kernels().pack(a_RI.const_data_ptr<float>(), shared.columns, a_RI.size(1), a_RI.size(1),
                 shared.packed_a.mutable_data_ptr<float>());
  return shared;
}

void BankDelta::add_on_kernels(const Segment& segment, const at::Tensor& x_TI,
                               std::span<const std::int64_t> modules, std::span<at::Tensor> outputs_TO) {
  const SharedInput& shared = shared_input(*segment.adapter, modules);
  if (shared.outputs.empty()) return;
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

}  // namespace rocket
