#include "selection/top_records.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace rocket {
namespace {

constexpr int kToParent = 3;

}  // namespace

bool chosen_before(const RankedRecord& a, const RankedRecord& b) {
  return std::tuple(-a.key, -a.similarity, a.record) < std::tuple(-b.key, -b.similarity, b.record);
}

bool walked_before(const RankedRecord& a, const RankedRecord& b) {
  return std::tuple(-a.similarity, a.record) < std::tuple(-b.similarity, b.record);
}

void TopRecords::offer(const RankedRecord& record) {
  if (heap_.size() == most_) {
    if (!chosen_before(record, heap_.front())) {
      return;
    }
    std::pop_heap(heap_.begin(), heap_.end(), chosen_before);
    heap_.pop_back();
  }
  heap_.push_back(record);
  std::push_heap(heap_.begin(), heap_.end(), chosen_before);
}

std::vector<RankedRecord> TopRecords::walk(Comm& comm) && {
  // A binary tree over the ranks: a rank hears its children, then tells its parent. Who is heard first does
  // not matter.
  int step = 1;
  for (; step < comm.size() && comm.rank() % (2 * step) == 0; step *= 2) {
    if (comm.rank() + step < comm.size()) {
      for (const RankedRecord& record : values_of<RankedRecord>(comm.receive(kToParent).body)) {
        offer(record);
      }
    }
  }
  if (!comm.is_root()) {
    comm.send(comm.rank() - step, kToParent, bytes_of(heap_));
  }
  std::sort(heap_.begin(), heap_.end(), walked_before);
  return broadcast_values(comm, std::exchange(heap_, {}));
}

}  // namespace rocket
