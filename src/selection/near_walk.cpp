#include "selection/near_walk.h"

#include <algorithm>
#include <array>

#include "selection/dot.h"

namespace rocket {
namespace {

// Rows of the walk that are compared with a run of references before the next run is read from memory.
constexpr std::size_t kBlock = 32;
constexpr std::int64_t kRun = 32;

}  // namespace

NearWalk::NearWalk(std::int64_t dimension, double threshold, References references)
    : dimension_(dimension), threshold_(static_cast<float>(threshold)), references_(references) {
}

std::size_t NearWalk::take(std::span<const float> rows_BD, std::int64_t most_kept) {
  const auto dimension = static_cast<std::size_t>(dimension_);
  const std::size_t rows = rows_BD.size() / dimension;
  std::size_t taken = 0;
  while (taken < rows && kept_ < most_kept) {
    taken += take_block(rows_BD.data() + taken * dimension, std::min(kBlock, rows - taken), most_kept);
  }
  return taken;
}

std::size_t NearWalk::take_block(const float* rows, std::size_t count, std::int64_t most_kept) {
  const auto before = static_cast<std::int64_t>(reference_positions_.size());
  std::array<std::int64_t, kBlock> near;
  near.fill(-1);
  for (std::int64_t first = 0; first < before; first += kRun) {
    for (std::size_t b = 0; b < count; ++b) {
      if (near[b] < 0) {
        near[b] = first_near(rows + static_cast<std::int64_t>(b) * dimension_, first,
                             std::min(first + kRun, before));
      }
    }
  }
  std::size_t taken = 0;
  for (; taken < count && kept_ < most_kept; ++taken) {
    const float* row = rows + static_cast<std::int64_t>(taken) * dimension_;
    if (near[taken] < 0) {
      near[taken] = first_near(row, before, static_cast<std::int64_t>(reference_positions_.size()));
    }
    const bool kept = near[taken] < 0;
    if (kept || references_ == References::seen) {
      reference_positions_.push_back(static_cast<std::int64_t>(dropped_by_.size()));
      reference_rows_.insert(reference_rows_.end(), row, row + dimension_);
    }
    kept_ += kept;
    dropped_by_.push_back(kept ? -1 : reference_positions_[static_cast<std::size_t>(near[taken])]);
  }
  return taken;
}

std::int64_t NearWalk::first_near(const float* row, std::int64_t first, std::int64_t end) const {
  std::array<float, kRun> cosines;
  for (; first < end; first += kRun) {
    const std::int64_t run = std::min(kRun, end - first);
    dot_rows(row, reference_rows_.data() + first * dimension_, run, dimension_, cosines.data());
    for (std::int64_t i = 0; i < run; ++i) {
      if (std::min(cosines[static_cast<std::size_t>(i)], 1.0f) > threshold_) {
        return first + i;
      }
    }
  }
  return -1;
}

}  // namespace rocket
