#include "backend/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace rocket {

void KvCache::fork(std::int64_t from, std::int64_t sequence, std::int64_t length, std::int64_t capacity) {
  open(sequence, capacity);
  if (is_pending(from) || length_.at(from) < length) {
    pending_.push_back({from, sequence, length});
  } else {
    for (std::int64_t layer = 0; layer < layers_; ++layer) copy(layer, from, sequence, length);
  }
  length_[sequence] = length;
}

bool KvCache::is_pending(std::int64_t sequence) const {
  return std::ranges::any_of(pending_, [&](const Fork& fork) { return fork.to == sequence; });
}

void KvCache::arrange(const PackedRows& rows) {
  forks_ = std::exchange(pending_, {});
  place(rows);
}

void KvCache::copy_forks(std::int64_t layer) {
  for (const Fork& fork : forks_) copy(layer, fork.from, fork.to, fork.length);
}

void KvCache::truncate(std::int64_t sequence, std::int64_t length) {
  std::int64_t& now = length_.at(sequence);
  if (length > now) fail_internal("a cache of {} positions cannot be cut to {}", now, length);
  now = length;
}

void KvCache::advance(const PackedRows& rows) {
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    length_.at(rows.sequences[s]) += rows.length(s);
  }
}

}  // namespace rocket
