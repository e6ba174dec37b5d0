#include "model/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "kernels/kernels.h"
#include "model/product.h"

namespace rocket {
namespace {

/// For the kernels: each sequence has buffers of its own.
class CpuKvCache : public KvCache {
 public:
  explicit CpuKvCache(const DecoderConfig& config)
      : KvCache(config.layers), key_heads_(config.kv_heads), dim_(config.head_dim) {}

  void open(std::int64_t sequence, std::int64_t capacity) override {
    const std::int64_t padded = whole_panels(capacity);
    const std::int64_t each = key_heads_ * dim_ * padded + kReadAhead;
    at::Tensor floats = at::empty({layers_, 2, each}, at::kFloat);
    buffers_[sequence] = {floats, floats.mutable_data_ptr<float>(), each, padded};
    length_[sequence] = 0;
  }

  void close(std::int64_t sequence) override {
    buffers_.erase(sequence);
    length_.erase(sequence);
  }

  at::Tensor attend(std::int64_t layer, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                    const at::Tensor& v_TGK, const Mask& mask) override {
    std::vector<KeysAndValues> all;
    for (const std::int64_t sequence : order_) all.push_back(stored(sequence, layer));
    write_keys(sequences_, k_TGK, v_TGK, all);
    copy_forks(layer);
    return attend_sequences(sequences_, all, q_THK, key_heads_, mask);
  }

 protected:
  void place(const PackedRows& rows) override {
    sequences_.clear();
    order_ = rows.sequences;
    for (std::size_t s = 0; s < order_.size(); ++s) {
      sequences_.push_back({rows.starts[s], rows.length(s), length_.at(order_[s])});
    }
  }

  void copy(std::int64_t layer, std::int64_t from, std::int64_t to, std::int64_t length) override {
    const KeysAndValues source = stored(from, layer), target = stored(to, layer);
    const std::int64_t whole = length / kPanel * kPanel;
    for (std::int64_t g = 0; g < key_heads_; ++g) {
      const float* from_keys = source.keys + g * dim_ * source.capacity;
      float* to_keys = target.keys + g * dim_ * target.capacity;
      std::copy_n(from_keys, whole * dim_, to_keys);
      for (std::int64_t i = 0; i < dim_; ++i) {
        const std::int64_t rest = key_place(whole, i, dim_);
        std::copy_n(from_keys + rest, length - whole, to_keys + rest);
      }
      std::copy_n(source.values + g * source.capacity * dim_, length * dim_,
                  target.values + g * target.capacity * dim_);
    }
  }

 private:
  struct Buffers {
    at::Tensor floats;  // [layers, keys or values, each]
    float* start = nullptr;
    std::int64_t each = 0, capacity = 0;
  };

  KeysAndValues stored(std::int64_t sequence, std::int64_t layer) {
    const Buffers& b = buffers_.at(sequence);
    float* keys = b.start + layer * 2 * b.each;
    return {keys, keys + b.each, b.capacity};
  }

  std::int64_t key_heads_, dim_;
  std::unordered_map<std::int64_t, Buffers> buffers_;
  std::vector<SequenceRows> sequences_;  // of the forward under way
  std::vector<std::int64_t> order_;
};

/// For LibTorch's attention: one slot a sequence, in buffers [slots, G, capacity, K] a layer.
class TensorKvCache : public KvCache {
 public:
  TensorKvCache(const DecoderConfig& config, const at::TensorOptions& options)
      : KvCache(config.layers),
        keys_(static_cast<std::size_t>(config.layers),
              at::empty({0, config.kv_heads, 0, config.head_dim}, options)),
        values_(keys_) {}

  void open(std::int64_t sequence, std::int64_t capacity) override {
    const bool reused = !free_.empty();
    slot_[sequence] = reused ? free_.back() : static_cast<std::int64_t>(slot_.size());
    if (reused) free_.pop_back();
    length_[sequence] = 0;
    make_room(slot_[sequence] + 1, capacity);
  }

  void close(std::int64_t sequence) override {
    free_.push_back(slot_.at(sequence));
    slot_.erase(sequence);
    length_.erase(sequence);
  }

  at::Tensor attend(std::int64_t layer, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                    const at::Tensor& v_TGK, const Mask& mask) override {
    at::Tensor& keys = keys_[static_cast<std::size_t>(layer)];
    at::Tensor& values = values_[static_cast<std::size_t>(layer)];
    write(keys, k_TGK);
    write(values, v_TGK);
    copy_forks(layer);
    at::Tensor out = at::empty({q_THK.size(0), q_THK.size(1) * q_THK.size(2)}, q_THK.options());
    for (const Read& read : reads_) {
      const auto [first, fresh, cached] = read.rows;
      const auto seen = [&](const at::Tensor& buffer) {
        return buffer.select(0, read.slot).narrow(1, 0, cached + fresh).unsqueeze(0);
      };
      const at::Tensor q = q_THK.narrow(0, first, fresh).transpose(0, 1).unsqueeze(0);
      out.narrow(0, first, fresh).copy_(attend_batch(q, seen(keys), seen(values), mask).squeeze(0));
    }
    if (steps_.rows.defined()) step(keys, values, q_THK, mask, out);
    return out;
  }

 protected:
  void place(const PackedRows& rows) override {
    steps_ = {};
    reads_.clear();
    std::vector<std::int64_t> step_rows, step_slots, step_lengths;
    for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
      const std::int64_t sequence = rows.sequences[s], fresh = rows.length(s);
      if (fresh != 1) {
        reads_.push_back({slot_.at(sequence), {rows.starts[s], fresh, length_.at(sequence)}});
        continue;
      }
      step_rows.push_back(rows.starts[s]);
      step_slots.push_back(slot_.at(sequence));
      step_lengths.push_back(length_.at(sequence));
    }
    if (step_rows.empty()) return;
    const auto index = [&](const auto& values) {
      return at::tensor(values, at::kLong).to(keys_[0].device());
    };
    steps_ = {index(step_rows), index(step_slots), index(step_lengths),
              *std::max_element(step_lengths.begin(), step_lengths.end()) + 1,
              *std::max_element(step_slots.begin(), step_slots.end()) + 1};
  }

  void copy(std::int64_t layer, std::int64_t from, std::int64_t to, std::int64_t length) override {
    for (auto* buffers : {&keys_, &values_}) {
      at::Tensor& x_SGMK = (*buffers)[static_cast<std::size_t>(layer)];
      x_SGMK.select(0, slot_.at(to))
          .narrow(1, 0, length)
          .copy_(x_SGMK.select(0, slot_.at(from)).narrow(1, 0, length));
    }
  }

 private:
  /// A sequence that reads several rows.
  struct Read {
    std::int64_t slot;
    SequenceRows rows;
  };
  /// The sequences that go on by one row, all in one call.
  struct Steps {
    at::Tensor rows, slots, lengths;
    std::int64_t longest = 0, slots_used = 0;
  };

  /// The new rows' keys or values to their places.
  void write(at::Tensor& buffer_SGMK, const at::Tensor& x_TGK) const {
    for (const auto& [slot, rows] : reads_) {
      buffer_SGMK.select(0, slot)
          .narrow(1, rows.cached, rows.fresh)
          .copy_(x_TGK.narrow(0, rows.first_row, rows.fresh).transpose(0, 1));
    }
    if (!steps_.rows.defined()) return;
    buffer_SGMK.index_put_({steps_.slots, at::indexing::Slice(), steps_.lengths},
                           x_TGK.index_select(0, steps_.rows));
  }

  /// The query heads of one key head stand as its positions: nothing is repeated. Slots that take no part see
  /// key 0, and what they give is not looked at.
  void step(const at::Tensor& keys, const at::Tensor& values, const at::Tensor& q_THK, const Mask& mask,
            at::Tensor& out) const {
    const std::int64_t key_heads = keys.size(1), dim = keys.size(3), n = steps_.slots_used;
    at::Tensor q = at::zeros({n, key_heads, q_THK.size(1) / key_heads, dim}, q_THK.options());
    q.index_copy_(0, steps_.slots, q_THK.index_select(0, steps_.rows).view({-1, key_heads, q.size(2), dim}));
    at::Tensor last = at::zeros({n, 1}, steps_.lengths.options());
    last.index_copy_(0, steps_.slots, steps_.lengths.unsqueeze(1));
    const at::Tensor position = at::arange(steps_.longest, steps_.lengths.options()).unsqueeze(0);
    at::Tensor allowed = position <= last;
    if (mask.window > 0) allowed = allowed.logical_and(position > last - mask.window);
    const auto used = [&](const at::Tensor& x) { return x.narrow(0, 0, n).narrow(2, 0, steps_.longest); };
    const at::Tensor mixed = at::scaled_dot_product_attention(q, used(keys), used(values),
                                                              allowed.view({n, 1, 1, steps_.longest}));
    out.index_copy_(0, steps_.rows, mixed.reshape({n, -1}).index_select(0, steps_.slots));
  }

  /// Buffers grow by doubling.
  void make_room(std::int64_t slots, std::int64_t capacity) {
    const at::Tensor& first = keys_.front();
    if (first.size(0) >= slots && first.size(2) >= capacity) return;
    const std::int64_t wider = first.size(0) >= slots ? first.size(0) : std::max(slots, 2 * first.size(0));
    const std::int64_t longer = std::max(first.size(2), capacity);
    for (auto* buffers : {&keys_, &values_}) {
      for (at::Tensor& old : *buffers) {
        at::Tensor larger = at::zeros({wider, old.size(1), longer, old.size(3)}, old.options());
        larger.narrow(0, 0, old.size(0)).narrow(2, 0, old.size(2)).copy_(old);
        old = larger;
      }
    }
  }

  std::vector<at::Tensor> keys_, values_;  // by layer
  std::unordered_map<std::int64_t, std::int64_t> slot_;
  std::vector<std::int64_t> free_;
  std::vector<Read> reads_;  // of the forward under way
  Steps steps_;
};

}  // namespace

std::unique_ptr<KvCache> KvCache::make(const DecoderConfig& config, at::ScalarType dtype, at::Device device) {
  if (device.is_cpu()) return std::make_unique<CpuKvCache>(config);
  return make_slotted(config, dtype, device);
}

std::unique_ptr<KvCache> KvCache::make_slotted(const DecoderConfig& config, at::ScalarType dtype,
                                               at::Device device) {
  return std::make_unique<TensorKvCache>(config, at::TensorOptions().dtype(dtype).device(device));
}

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
