// Float32 and bfloat16 matrices as floats, block by block: what computes in float32 reads and writes both
// types without a copy of the whole.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>

namespace rocket {

/// Memory of this thread for one piece of work, handed out part by part. The next ThreadRoom of this thread
/// takes it over.
class ThreadRoom {
 public:
  /// `floats`: at least what will be taken.
  explicit ThreadRoom(std::int64_t floats);
  float* take(std::int64_t floats);

 private:
  float *next_ = nullptr, *end_ = nullptr;
};

/// Some rows and columns of a matrix.
struct Block {
  std::int64_t row = 0, rows = 0, column = 0, columns = 0;

  std::int64_t size() const { return rows * columns; }
};

/// A block as floats: row r at data + r * stride.
template <class Float>
struct FloatBlock {
  Float* data = nullptr;
  std::int64_t stride = 0;
};

/// Whether FloatMatrix takes x: float32 or bfloat16 on the CPU.
bool holds_floats(const at::Tensor& x);

/// A tensor [T, ...] on the CPU as a matrix of T rows: contiguous, float32 or bfloat16.
class FloatMatrix {
 public:
  explicit FloatMatrix(const at::Tensor& x);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }

  /// The block in the matrix's own memory where that is float32, else its values in `room`.
  FloatBlock<const float> read(const Block& block, ThreadRoom& room) const;
  const float* read_rows(std::int64_t first, std::int64_t count, ThreadRoom& room) const;
  /// A copy of the block's values, its rows without a distance.
  void copy_to(const Block& block, float* to) const;

  /// Where a block is to be written: the matrix's own memory or, to be rounded by store(), `room`.
  FloatBlock<float> target(const Block& block, ThreadRoom& room) const;
  float* target_rows(std::int64_t first, std::int64_t count, ThreadRoom& room) const;
  void store(const Block& block, const FloatBlock<float>& written) const;
  void store_rows(std::int64_t first, std::int64_t count, float* written) const;

 private:
  Block whole_rows(std::int64_t first, std::int64_t count) const { return {first, count, 0, columns_}; }
  std::int64_t offset(const Block& block) const { return block.row * columns_ + block.column; }

  at::Tensor x_;
  std::int64_t rows_, columns_;
  bool float32_;
  const void* values_;
};

}  // namespace rocket
