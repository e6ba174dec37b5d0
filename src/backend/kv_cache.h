// Keys and values of the sequences of a generation.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/attention.h"
#include "backend/graph.h"

namespace rocket {

/// What a cache holds: keys and values of `key_heads` heads of `head_dim` values in each layer. The CPU keeps
/// them in float32, whatever the type.
struct CacheShape {
  std::int64_t layers = 0, key_heads = 0, head_dim = 0;
  at::ScalarType type = at::kFloat;
  at::Device device = at::kCPU;
  std::int64_t positions = 0;  // that open sequences have together, unless one alone has more
  bool capped = false;         // scores have a cap: AttentionRule

  /// Keys and values of one position.
  std::int64_t values() const { return 2 * layers * key_heads * head_dim; }
};

/// By sequence; a sequence's memory is given back when it leaves. Not differentiable.
class KvCache {
 public:
  virtual ~KvCache() = default;

  /// A sequence of at most `capacity` positions joins, empty.
  virtual void open(std::int64_t sequence, std::int64_t capacity) = 0;
  /// The same, with a copy of the first `length` positions of another one, which may be those that the next
  /// forward computes: texts that are read together compute together what they begin with.
  void fork(std::int64_t from, std::int64_t sequence, std::int64_t length, std::int64_t capacity);
  virtual void close(std::int64_t sequence) = 0;
  /// Forgets what stands behind the first `length` positions.
  void truncate(std::int64_t sequence, std::int64_t length);
  std::int64_t length(std::int64_t sequence) const { return length_.at(sequence); }

  /// Called once before the layers: which open sequences the rows of a forward go on.
  void arrange(const PackedRows& rows);
  /// Writes the new keys and values of a layer, then attends: q [T, H, K], k and v [T, G, K] -> [T, H * K].
  virtual at::Tensor attend(std::int64_t layer, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                            const at::Tensor& v_TGK, const AttentionRule& rule) = 0;
  /// Called once after all layers: the new rows have joined the cache.
  void advance(const PackedRows& rows);
  /// Of the forward that was arranged, if each of its sequences goes on by one row.
  virtual StepLaunches step_launches() const { return {}; }

 protected:
  explicit KvCache(std::int64_t layers) : layers_(layers) {}
  virtual void place(const PackedRows& rows) = 0;
  virtual void copy(std::int64_t layer, std::int64_t from, std::int64_t to, std::int64_t length) = 0;
  /// For attend(), between writing and looking: what sequences take over from others of this forward.
  void copy_forks(std::int64_t layer);

  /// `to` takes over the first positions of `from`.
  struct Fork {
    std::int64_t from, to, length;
  };
  /// Of the forward under way, in the order in which they were asked for.
  std::span<const Fork> forks() const { return forks_; }

  std::int64_t layers_;
  std::unordered_map<std::int64_t, std::int64_t> length_;  // by sequence

 private:
  bool is_pending(std::int64_t sequence) const;

  std::vector<Fork> pending_;  // of the next forward
  std::vector<Fork> forks_;    // of the one under way
};

}  // namespace rocket
