#include "comm/buckets.h"

#include <algorithm>

#include "base/error.h"

namespace rocket {

Buckets::Buckets(std::size_t count, std::size_t bucket) : count_(count), size_(bucket) {
  for (std::size_t end = count; end > 0; end -= missing_.back()) missing_.push_back(std::min(end, bucket));
}

Buckets::Range Buckets::range(std::size_t bucket) const {
  const std::size_t end = count_ - bucket * size_;
  const std::size_t first = end - std::min(end, size_);
  return {first, end - first};
}

void Buckets::ready(Range values) {
  if (values.first + values.count > count_)
    fail_internal("values [{}, {}) of {} cannot be ready", values.first, values.first + values.count, count_);
  for (std::size_t end = values.first + values.count; end > values.first;) {
    const std::size_t bucket = (count_ - end) / size_;
    const std::size_t first = std::max(values.first, range(bucket).first);
    if (missing_[bucket] < end - first) fail_internal("values [{}, {}) were ready before", first, end);
    missing_[bucket] -= end - first;
    end = first;
  }
}

void Buckets::all_ready() {
  std::ranges::fill(missing_, 0);
}

std::optional<Buckets::Range> Buckets::take() {
  if (taken_ == missing_.size() || missing_[taken_] > 0) return std::nullopt;
  return range(taken_++);
}

}  // namespace rocket
