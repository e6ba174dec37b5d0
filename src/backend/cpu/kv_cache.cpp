#include "backend/kv_cache.h"

#include <algorithm>

#include "backend/cpu/attention.h"
#include "backend/cpu/cpu_backend.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

/// For the kernels: each sequence has buffers of its own.
class CpuKvCache : public KvCache {
 public:
  explicit CpuKvCache(const CacheShape& shape)
      : KvCache(shape.layers), key_heads_(shape.key_heads), dim_(shape.head_dim) {}

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
                    const at::Tensor& v_TGK, const AttentionRule& rule) override {
    std::vector<KeysAndValues> all;
    for (const std::int64_t sequence : order_) all.push_back(stored(sequence, layer));
    write_keys(sequences_, k_TGK, v_TGK, all);
    copy_forks(layer);
    return attend_sequences(sequences_, all, q_THK, key_heads_, rule);
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

}  // namespace

std::unique_ptr<KvCache> CpuBackend::make_cache(const CacheShape& shape) const {
  return std::make_unique<CpuKvCache>(shape);
}

std::int64_t CpuBackend::cache_bytes(const CacheShape& shape) const {
  return shape.values() * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace rocket
