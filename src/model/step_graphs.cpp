#include "model/step_graphs.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <numeric>

#include "base/log.h"

namespace rocket {

std::int64_t rows_of_step(std::int64_t texts) {
  const auto count = static_cast<std::uint64_t>(texts);
  if (count <= 16) return static_cast<std::int64_t>(std::bit_ceil(count));
  const auto step = static_cast<std::int64_t>(std::max<std::uint64_t>(16, std::bit_floor(count) / 8));
  return (texts + step - 1) / step * step;
}

bool has_step_graphs(const Decoder& decoder, const KvCache& cache) {
  return cache.step_launches().fixed && !decoder.config().turns_by_length() &&
         decoder.backend().graphs() != nullptr;
}

StepGraphs::StepGraphs(const Decoder& decoder, LinearDelta* delta, KvCache& cache)
    : decoder_(decoder), delta_(delta), cache_(cache) {
  cache_.open(kNoSequence, positions);
}

at::Tensor StepGraphs::next_ids(StepRows rows) {
  const auto texts = static_cast<std::int64_t>(rows.ids.size());
  const auto count = static_cast<std::size_t>(rows_of_step(texts));
  rows.ids.resize(count, 0);
  rows.positions.resize(count, 0);
  rows.sequences.resize(count, kNoSequence);
  Size& size = sizes_[static_cast<std::int64_t>(count)];
  const PackedRows packed = arranged(rows, size.slots);
  const at::Tensor ids_T = compute_or_repeat(packed, size);
  cache_.advance(packed);
  cache_.truncate(kNoSequence, 0);
  return ids_T.narrow(0, 0, texts).cpu();
}

PackedRows StepGraphs::arranged(const StepRows& rows, UploadSlots& slots) const {
  const UploadSlots::Use fixed(slots);
  std::vector<std::int64_t> starts(rows.ids.size() + 1);
  std::iota(starts.begin(), starts.end(), 0);
  PackedRows packed = lay_out(rows.ids, rows.positions, std::move(starts), rows.sequences, decoder_.device());
  decoder_.arrange(packed, delta_, &cache_);
  return packed;
}

at::Tensor StepGraphs::compute(const PackedRows& rows) const {
  return decoder_.best(decoder_.hidden_of_arranged(rows, delta_, &cache_)).to(at::kDouble);
}

at::Tensor StepGraphs::compute_or_repeat(const PackedRows& rows, Size& size) {
  const StepLaunches of_delta = delta_ != nullptr ? delta_->step_launches() : StepLaunches{.fixed = true};
  const StepLaunches of_cache = cache_.step_launches();
  if (!of_delta.fixed || !records_) return compute(rows);
  forget_moved(of_delta.memory, of_cache.memory);
  const auto [it, first] = size.graphs.try_emplace(of_cache.reach);
  if (first) return compute(rows);  // what is made once is made, and a size that is met once needs no graph
  Graph& graph = it->second;
  if (graph.launches == nullptr && !record(rows, graph)) return compute(rows);
  graph.launches->replay();
  return graph.ids_T;
}

bool StepGraphs::record(const PackedRows& rows, Graph& graph) {
  try {
    graph.launches = decoder_.backend().graphs()(
        decoder_.device(), [&] { graph.ids_T = compute(rows); }, last_);
    last_ = graph.launches.get();
    return true;
  } catch (const c10::Error& e) {
    records_ = false;
    static std::atomic<bool> said = false;
    if (!said.exchange(true))
      log::warn("steps of generations are not captured in CUDA graphs, which makes short ones slower: {}",
                e.what_without_backtrace());
    return false;
  }
}

void StepGraphs::forget_moved(std::int64_t of_delta, std::int64_t of_cache) {
  const std::pair now{of_delta, of_cache};
  if (memory_ == now) return;
  memory_ = now;
  last_ = nullptr;
  for (auto& [rows, size] : sizes_) size.graphs.clear();
}

}  // namespace rocket
