// Keys and values in one buffer a layer, [positions, G, K]: each sequence has a range of it, as long as the
// sequence may grow. So the buffers hold no more positions than the open sequences may have together, or than
// they were told at most, whichever is larger.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "backend/kv_cache.h"

namespace rocket {

/// The rows of a forward and the ranges that they look at. Tensors lie on the device.
struct CachedRows {
  /// Those of a sequence, and where its range begins.
  struct Part {
    SequenceRows rows;
    std::int64_t begin = 0;

    std::int64_t used() const { return rows.cached + rows.fresh; }
  };
  std::vector<Part> parts;
  at::Tensor places_T;                // int64: where the keys and values of each row go
  at::Tensor copy_from_F, copy_to_F;  // int64: places of beginnings that sequences take over in this forward
  at::Tensor row_starts, begins;      // int32 [S + 1]: first rows, and begins of the ranges
  at::Tensor used_S;                  // int32: positions in use, with the new ones
  std::int64_t most_rows = 0, most_used = 0;  // of a sequence; the latter rounded up
};

/// Attention through LibTorch's operators. A derived class may attend in another way.
class RangeKvCache : public KvCache {
 public:
  explicit RangeKvCache(const CacheShape& shape);

  void open(std::int64_t sequence, std::int64_t capacity) override;
  void close(std::int64_t sequence) override;
  at::Tensor attend(std::int64_t layer, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                    const at::Tensor& v_TGK, const AttentionRule& rule) final;

  /// What the buffers have room for.
  std::int64_t positions() const { return positions_; }

 protected:
  /// How often the buffers have become others.
  std::int64_t moves() const { return moves_; }
  const CachedRows& arranged() const { return rows_; }
  void place(const PackedRows& rows) override;
  void copy(std::int64_t layer, std::int64_t from, std::int64_t to, std::int64_t length) override;

  /// Rows of a layer's k and v [T, G, K] to their places, then the beginnings that sequences take over.
  virtual void store(const CachedRows& rows, const at::Tensor& k_TGK, const at::Tensor& v_TGK,
                     at::Tensor& keys_PGK, at::Tensor& values_PGK);
  /// Attention of the rows to the keys and values in their ranges, which hold the new ones: [T, H * K].
  virtual at::Tensor look(const CachedRows& rows, const at::Tensor& q_THK, const at::Tensor& keys_PGK,
                          const at::Tensor& values_PGK, const AttentionRule& rule);

 private:
  struct Range {
    std::int64_t begin = 0, capacity = 0;
  };
  /// Sequences that go on by one row, all in one call: their keys are gathered, padded to the longest.
  struct Steps {
    at::Tensor rows_N, places_NM, last_N1, position_1M;
  };

  std::int64_t find_room(std::int64_t capacity);
  void rebuild(std::int64_t positions);
  /// Where the first positions of each sequence that a fork began come from, and where they go.
  void list_forks(std::vector<std::int64_t>& from, std::vector<std::int64_t>& to) const;
  const Steps& steps();

  std::int64_t most_positions_, positions_ = 0, moves_ = 0;
  std::vector<at::Tensor> keys_, values_;  // by layer
  std::unordered_map<std::int64_t, Range> ranges_;
  std::map<std::int64_t, std::int64_t> taken_;  // begin and end of the ranges, in order
  CachedRows rows_;                             // of the forward under way
  Steps steps_;
};

}  // namespace rocket
