#include "backend/torch/kv_cache.h"

#include <algorithm>
#include <bit>

#include "backend/torch/attention.h"
#include "backend/torch/torch_backend.h"
#include "backend/upload.h"

namespace rocket {
namespace {

/// Of `positions`: a power of two, so that one bound serves many steps.
std::int64_t bound_of_reach(std::int64_t positions) {
  constexpr std::uint64_t least = 128;
  return static_cast<std::int64_t>(std::bit_ceil(std::max(least, static_cast<std::uint64_t>(positions))));
}

/// Several lists on the device, in one go.
template <class T>
std::vector<at::Tensor> uploaded(const std::vector<std::vector<T>>& lists, at::ScalarType type,
                                 at::Device device) {
  std::vector<T> all;
  std::vector<std::int64_t> sizes;
  for (const std::vector<T>& list : lists) {
    all.insert(all.end(), list.begin(), list.end());
    sizes.push_back(std::ssize(list));
  }
  return upload(at::tensor(all, type), device).split_with_sizes(sizes, 0);
}

}  // namespace

RangeKvCache::RangeKvCache(const CacheShape& shape)
    : KvCache(shape.layers),
      most_positions_(shape.positions),
      keys_(static_cast<std::size_t>(shape.layers),
            at::empty({0, shape.key_heads, shape.head_dim},
                      at::TensorOptions(shape.type).device(shape.device))),
      values_(keys_) {
}

void RangeKvCache::open(std::int64_t sequence, std::int64_t capacity) {
  const std::int64_t begin = find_room(capacity);
  ranges_[sequence] = {begin, capacity};
  taken_[begin] = begin + capacity;
  length_[sequence] = 0;
}

void RangeKvCache::close(std::int64_t sequence) {
  taken_.erase(ranges_.at(sequence).begin);
  ranges_.erase(sequence);
  length_.erase(sequence);
}

/// The first gap that is wide enough. Where there is none, the ranges move together, into larger buffers
/// where that does not suffice.
std::int64_t RangeKvCache::find_room(std::int64_t capacity) {
  std::int64_t free_from = 0, taken = 0;
  for (const auto& [begin, end] : taken_) {
    if (begin - free_from >= capacity) return free_from;
    free_from = end;
    taken += end - begin;
  }
  if (positions_ - free_from >= capacity) return free_from;
  const std::int64_t needed = taken + capacity;
  rebuild(needed <= positions_ ? positions_ : std::max(needed, std::min(2 * positions_, most_positions_)));
  return taken;
}

/// One layer after the other, so that hardly more than the new buffers is held. Buffers of the same size
/// stay.
void RangeKvCache::rebuild(std::int64_t positions) {
  std::vector<std::int64_t> order;
  for (const auto& [sequence, range] : ranges_) order.push_back(sequence);
  std::ranges::sort(order, {}, [&](std::int64_t s) { return ranges_.at(s).begin; });
  std::vector<std::int64_t> from, to;
  taken_.clear();
  std::int64_t next = 0;
  for (const std::int64_t sequence : order) {
    Range& range = ranges_.at(sequence);
    for (std::int64_t i = 0; i < length_.at(sequence); ++i) {
      from.push_back(range.begin + i);
      to.push_back(next + i);
    }
    range.begin = next;
    next += range.capacity;
    taken_[range.begin] = next;
  }
  const at::Device device = keys_[0].device();
  const at::Tensor from_P = upload(from, device), to_P = upload(to, device);
  for (auto* buffers : {&keys_, &values_}) {
    for (at::Tensor& buffer : *buffers) {
      at::Tensor target = positions == positions_
                              ? buffer
                              : at::empty({positions, buffer.size(1), buffer.size(2)}, buffer.options());
      if (!from.empty()) target.index_copy_(0, to_P, buffer.index_select(0, from_P));
      buffer = std::move(target);
    }
  }
  if (positions != positions_) ++moves_;
  positions_ = positions;
}

void RangeKvCache::place(const PackedRows& rows) {
  rows_ = {};
  steps_ = {};
  std::vector<std::int64_t> places, from, to;
  std::vector<int> starts, begins, used;
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    const std::int64_t sequence = rows.sequences[s];
    const CachedRows::Part part{{rows.starts[s], rows.length(s), length_.at(sequence)},
                                ranges_.at(sequence).begin};
    for (std::int64_t i = 0; i < part.rows.fresh; ++i) places.push_back(part.begin + part.rows.cached + i);
    starts.push_back(static_cast<int>(part.rows.first_row));
    begins.push_back(static_cast<int>(part.begin));
    used.push_back(static_cast<int>(part.used()));
    rows_.most_rows = std::max(rows_.most_rows, part.rows.fresh);
    rows_.most_used = std::max(rows_.most_used, part.used());
    rows_.parts.push_back(part);
  }
  starts.push_back(static_cast<int>(rows.tokens()));
  begins.push_back(static_cast<int>(positions_));
  list_forks(from, to);
  rows_.most_used = bound_of_reach(rows_.most_used);
  const at::Device device = keys_[0].device();
  const auto wide = uploaded<std::int64_t>({places, from, to}, at::kLong, device);
  rows_.places_T = wide[0];
  rows_.copy_from_F = wide[1];
  rows_.copy_to_F = wide[2];
  const auto narrow = uploaded<int>({starts, begins, used}, at::kInt, device);
  rows_.row_starts = narrow[0];
  rows_.begins = narrow[1];
  rows_.used_S = narrow[2];
}

void RangeKvCache::list_forks(std::vector<std::int64_t>& from, std::vector<std::int64_t>& to) const {
  std::unordered_map<std::int64_t, std::vector<std::int64_t>> sources;  // of sequences that take over
  for (const Fork& fork : forks()) {
    const Range& theirs = ranges_.at(fork.from);
    const auto known = sources.find(fork.from);
    std::vector<std::int64_t> places;
    for (std::int64_t i = 0; i < fork.length; ++i) {
      const bool passed_on = known != sources.end() && i < static_cast<std::int64_t>(known->second.size());
      places.push_back(passed_on ? known->second[static_cast<std::size_t>(i)] : theirs.begin + i);
      to.push_back(ranges_.at(fork.to).begin + i);
    }
    from.insert(from.end(), places.begin(), places.end());
    sources[fork.to] = std::move(places);
  }
}

void RangeKvCache::copy(std::int64_t layer, std::int64_t from, std::int64_t to, std::int64_t length) {
  for (auto* buffers : {&keys_, &values_}) {
    at::Tensor& x_PGK = (*buffers)[static_cast<std::size_t>(layer)];
    x_PGK.narrow(0, ranges_.at(to).begin, length).copy_(x_PGK.narrow(0, ranges_.at(from).begin, length));
  }
}

at::Tensor RangeKvCache::attend(std::int64_t layer, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                                const at::Tensor& v_TGK, const AttentionRule& rule) {
  at::Tensor &keys = keys_[static_cast<std::size_t>(layer)],
             &values = values_[static_cast<std::size_t>(layer)];
  store(rows_, k_TGK, v_TGK, keys, values);
  return look(rows_, q_THK, keys, values, rule);
}

void RangeKvCache::store(const CachedRows& rows, const at::Tensor& k_TGK, const at::Tensor& v_TGK,
                         at::Tensor& keys_PGK, at::Tensor& values_PGK) {
  const auto each = [&](at::Tensor& buffer_PGK, const at::Tensor& x_TGK) {
    buffer_PGK.index_copy_(0, rows.places_T, x_TGK);
    if (rows.copy_to_F.size(0) > 0)
      buffer_PGK.index_copy_(0, rows.copy_to_F, buffer_PGK.index_select(0, rows.copy_from_F));
  };
  each(keys_PGK, k_TGK);
  each(values_PGK, v_TGK);
}

at::Tensor RangeKvCache::look(const CachedRows& rows, const at::Tensor& q_THK, const at::Tensor& keys_PGK,
                              const at::Tensor& values_PGK, const AttentionRule& rule) {
  at::Tensor out = at::empty({q_THK.size(0), q_THK.size(1) * q_THK.size(2)}, q_THK.options());
  bool has_steps = false;
  for (const CachedRows::Part& part : rows.parts) {
    const auto [first, fresh, cached] = part.rows;
    has_steps |= fresh == 1;
    if (fresh <= 1) continue;
    const auto seen = [&](const at::Tensor& buffer) {
      return buffer.narrow(0, part.begin, part.used()).transpose(0, 1).unsqueeze(0);
    };
    const at::Tensor q = q_THK.narrow(0, first, fresh).transpose(0, 1).unsqueeze(0);
    out.narrow(0, first, fresh).copy_(attend_batch(q, seen(keys_PGK), seen(values_PGK), rule).squeeze(0));
  }
  if (!has_steps) return out;
  const Steps& s = steps();
  const std::int64_t n = s.places_NM.size(0), longest = s.places_NM.size(1), groups = keys_PGK.size(1),
                     dim = keys_PGK.size(2);
  const auto seen = [&](const at::Tensor& buffer) {
    return buffer.index_select(0, s.places_NM.flatten()).view({n, longest, groups, dim}).transpose(1, 2);
  };
  // The query heads of one key head stand as its positions: nothing is repeated.
  const at::Tensor q = q_THK.index_select(0, s.rows_N).view({n, groups, q_THK.size(1) / groups, dim});
  at::Tensor allowed = s.position_1M <= s.last_N1;
  if (rule.window > 0) allowed = allowed.logical_and(s.position_1M > s.last_N1 - rule.window);
  const at::Tensor mixed = weighted_values(q, seen(keys_PGK), seen(values_PGK),
                                           allowed.view({n, 1, 1, longest}), /*causal=*/false, rule);
  return out.index_copy_(0, s.rows_N, mixed.reshape({n, -1}));
}

const RangeKvCache::Steps& RangeKvCache::steps() {
  if (steps_.rows_N.defined()) return steps_;
  std::vector<std::int64_t> rows, begins, last;
  for (const CachedRows::Part& part : rows_.parts) {
    if (part.rows.fresh != 1) continue;
    rows.push_back(part.rows.first_row);
    begins.push_back(part.begin);
    last.push_back(part.rows.cached);
  }
  const at::Device device = keys_[0].device();
  steps_.rows_N = upload(rows, device);
  steps_.last_N1 = upload(last, device).unsqueeze(1);
  steps_.position_1M = at::arange(std::ranges::max(last) + 1, steps_.last_N1.options()).unsqueeze(0);
  // Behind a sequence's last position its own first one stands, which `allowed` hides.
  steps_.places_NM = upload(begins, device).unsqueeze(1) +
                     at::where(steps_.position_1M <= steps_.last_N1, steps_.position_1M, 0);
  return steps_;
}

std::unique_ptr<KvCache> TorchBackend::make_cache(const CacheShape& shape) const {
  return std::make_unique<RangeKvCache>(shape);
}

std::int64_t TorchBackend::cache_positions(const CacheShape& /*shape*/, std::int64_t /*weight_bytes*/) const {
  return 0;
}

std::int64_t TorchBackend::cache_bytes(const CacheShape& shape) const {
  return shape.values() * static_cast<std::int64_t>(c10::elementSize(shape.type));
}

}  // namespace rocket
