// Steps of a generation: texts that go on by one row each. A device that repeats recorded launches is told
// those of a step once for each number of texts, rounded up.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "backend/graph.h"
#include "backend/upload.h"
#include "model/decoder.h"

namespace rocket {

/// What texts feed next: ids, where these stand in their texts, and which sequences of the cache they are.
struct StepRows {
  std::vector<std::int64_t> ids, positions, sequences;
};

/// The number of rows that a step of so many texts has: 1, 2, 4, 8, then multiples of 16, and of an eighth of
/// the power of two below where that is more.
std::int64_t rows_of_step(std::int64_t texts);

/// Whether the device has graphs, and the host need not look at a step's values.
/// Not where a text's length turns its rows, and not where attention gathers keys by the longest text
/// (float32).
bool has_step_graphs(const Decoder& decoder, const KvCache& cache);

class StepGraphs {
 public:
  /// Positions of the cache that it takes, for rows that fill up a step.
  static constexpr std::int64_t positions = 1;

  /// `delta` may be null; it and `cache` must outlive this.
  StepGraphs(const Decoder& decoder, LinearDelta* delta, KvCache& cache);

  /// The id that follows each row, [texts] float64 on the CPU. The rows have joined the cache.
  at::Tensor next_ids(StepRows rows);

 private:
  struct Graph {
    std::unique_ptr<LaunchGraph> launches;
    at::Tensor ids_T;  // what they leave
  };
  struct Size {
    UploadSlots slots;
    std::map<std::int64_t, Graph> graphs;  // by reach
  };

  PackedRows arranged(const StepRows& rows, UploadSlots& slots) const;
  at::Tensor compute(const PackedRows& rows) const;
  at::Tensor compute_or_repeat(const PackedRows& rows, Size& size);
  /// False where the device cannot record the step: from then on all steps are computed launch by launch, and
  /// the log says so once.
  bool record(const PackedRows& rows, Graph& graph);
  /// Graphs that read what has moved are of no use any more.
  void forget_moved(std::int64_t of_delta, std::int64_t of_cache);

  const Decoder& decoder_;
  LinearDelta* delta_;
  KvCache& cache_;
  std::map<std::int64_t, Size> sizes_;  // by rows
  std::pair<std::int64_t, std::int64_t> memory_{-1, -1};
  LaunchGraph* last_ = nullptr;  // whose memory the next one shares
  bool records_ = true;
};

}  // namespace rocket
