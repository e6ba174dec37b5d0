#include "backend/kv_cache.h"

#include <algorithm>

#include "backend/torch/attention.h"
#include "backend/torch/torch_backend.h"

namespace rocket {
namespace {

/// For LibTorch's attention: one slot a sequence, in buffers [slots, G, capacity, K] a layer.
class TensorKvCache : public KvCache {
 public:
  explicit TensorKvCache(const CacheShape& shape)
      : KvCache(shape.layers),
        keys_(static_cast<std::size_t>(shape.layers),
              at::empty({0, shape.key_heads, 0, shape.head_dim},
                        at::TensorOptions(shape.type).device(shape.device))),
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

std::unique_ptr<KvCache> TorchBackend::make_cache(const CacheShape& shape) const {
  return std::make_unique<TensorKvCache>(shape);
}

std::int64_t TorchBackend::cache_bytes(const CacheShape& shape) const {
  return shape.values() * static_cast<std::int64_t>(c10::elementSize(shape.type));
}

}  // namespace rocket
