// The C records that come first, out of any number, in one pass.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/comm.h"

namespace rocket {

struct RankedRecord {
  double key = 0;  // the larger is chosen
  float similarity = 0;
  std::int64_t record = 0;
};

/// By key, then similarity, descending; then corpus index, ascending: no two records are equal.
bool chosen_before(const RankedRecord& a, const RankedRecord& b);
/// By similarity descending, then corpus index.
bool walked_before(const RankedRecord& a, const RankedRecord& b);

/// Holds no more than `most` records of those offered.
class TopRecords {
 public:
  explicit TopRecords(std::int64_t most) : most_(static_cast<std::size_t>(most)) {}

  void offer(const RankedRecord& record);

  /// Collective. The first `most` of all ranks' records in walk order, on every rank. Each rank holds at most
  /// twice `most` on the way, however many ranks there are.
  std::vector<RankedRecord> walk(Comm& comm) &&;

 private:
  std::size_t most_;
  std::vector<RankedRecord> heap_;  // the last one on top
};

}  // namespace rocket
