#include "backend/cpu/float_matrix.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/kernels.h"

namespace rocket {

ThreadRoom::ThreadRoom(std::int64_t floats) {
  thread_local std::vector<float> room;
  const auto wanted = static_cast<std::size_t>(floats);
  if (room.size() < wanted) room = std::vector<float>(wanted);
  next_ = room.data();
  end_ = next_ + room.size();
}

float* ThreadRoom::take(std::int64_t floats) {
  if (floats > end_ - next_) fail_internal("a thread's room holds {} floats, not {}", end_ - next_, floats);
  return std::exchange(next_, next_ + floats);
}

bool holds_floats(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

FloatMatrix::FloatMatrix(const at::Tensor& x)
    : x_(x),
      rows_(x.size(0)),
      columns_(rows_ == 0 ? 0 : x.numel() / rows_),
      float32_(x.scalar_type() == at::kFloat),
      values_(x.const_data_ptr()) {
  if (!holds_floats(x) || !x.is_contiguous()) fail_internal("not a contiguous matrix of floats");
}

FloatBlock<const float> FloatMatrix::read(const Block& block, ThreadRoom& room) const {
  if (float32_) return {static_cast<const float*>(values_) + offset(block), columns_};
  float* copy = room.take(block.size());
  copy_to(block, copy);
  return {copy, block.columns};
}

void FloatMatrix::copy_to(const Block& block, float* to) const {
  const std::int64_t runs = block.columns == columns_ ? 1 : block.rows,
                     length = block.size() / std::max<std::int64_t>(1, runs);
  std::int64_t at = offset(block);
  for (std::int64_t run = 0; run < runs; ++run, at += columns_, to += length) {
    if (!float32_) {
      kernels().to_float(static_cast<const Bfloat16*>(values_) + at, length, to);
    } else if (const float* from = static_cast<const float*>(values_) + at; from != to) {
      std::copy_n(from, length, to);
    }
  }
}

FloatBlock<float> FloatMatrix::target(const Block& block, ThreadRoom& room) const {
  if (float32_) return {static_cast<float*>(x_.mutable_data_ptr()) + offset(block), columns_};
  return {room.take(block.size()), block.columns};
}

void FloatMatrix::store(const Block& block, const FloatBlock<float>& written) const {
  if (float32_) return;
  auto* to = static_cast<Bfloat16*>(x_.mutable_data_ptr()) + offset(block);
  for (std::int64_t r = 0; r < block.rows; ++r)
    kernels().to_bfloat16(written.data + r * written.stride, block.columns, to + r * columns_);
}

const float* FloatMatrix::read_rows(std::int64_t first, std::int64_t count, ThreadRoom& room) const {
  return read(whole_rows(first, count), room).data;
}

float* FloatMatrix::target_rows(std::int64_t first, std::int64_t count, ThreadRoom& room) const {
  return target(whole_rows(first, count), room).data;
}

void FloatMatrix::store_rows(std::int64_t first, std::int64_t count, float* written) const {
  store(whole_rows(first, count), {written, columns_});
}

}  // namespace rocket
