#include "backend/cpu/float_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

at::Tensor counted(at::ScalarType type) {
  return at::arange(60, at::kFloat).view({5, 3, 4}).to(type);
}

at::Tensor as_tensor(const FloatBlock<const float>& block, std::int64_t rows, std::int64_t columns) {
  return at::from_blob(const_cast<float*>(block.data), {rows, columns}, {block.stride, 1}, at::kFloat);
}

class FloatMatrixTest : public testing::TestWithParam<at::ScalarType> {};

INSTANTIATE_TEST_SUITE_P(Types, FloatMatrixTest, testing::Values(at::kFloat, at::kBFloat16));

TEST_P(FloatMatrixTest, BlocksAreReadAsFloats) {
  const at::Tensor x = counted(GetParam()), wide = counted(at::kFloat).view({5, 12});
  const FloatMatrix matrix(x);
  EXPECT_EQ(matrix.rows(), 5);
  EXPECT_EQ(matrix.columns(), 12);
  ThreadRoom room(100);
  const Block block{1, 3, 4, 5};
  const at::Tensor expected = wide.narrow(0, 1, 3).narrow(1, 4, 5);
  EXPECT_TRUE(as_tensor(matrix.read(block, room), 3, 5).equal(expected));
  EXPECT_TRUE(as_tensor({matrix.read_rows(2, 2, room), 12}, 2, 12).equal(wide.narrow(0, 2, 2)));
  at::Tensor copy = at::empty({3, 5}, at::kFloat);
  matrix.copy_to(block, copy.mutable_data_ptr<float>());
  EXPECT_TRUE(copy.equal(expected));
}

TEST_P(FloatMatrixTest, WhatIsStoredStandsInTheTensorAndNowhereElse) {
  const at::Tensor x = counted(GetParam());
  const FloatMatrix matrix(x);
  ThreadRoom room(100);
  const Block block{1, 3, 4, 5};
  const FloatBlock<float> target = matrix.target(block, room);
  for (std::int64_t r = 0; r < 3; ++r) std::fill_n(target.data + r * target.stride, 5, -7.0f);
  matrix.store(block, target);
  at::Tensor expected = counted(at::kFloat).view({5, 12});
  expected.narrow(0, 1, 3).narrow(1, 4, 5).fill_(-7);
  EXPECT_TRUE(x.view({5, 12}).to(at::kFloat).equal(expected));
}

TEST(FloatMatrix, TakesNeitherOtherTypesNorGaps) {
  const at::Tensor wide = at::zeros({2, 2}, at::kDouble), turned = at::zeros({2, 3}).t();
  EXPECT_THROW(FloatMatrix{wide}, Error);
  EXPECT_THROW(FloatMatrix{turned}, Error);
  ThreadRoom room(8);
  EXPECT_THROW(room.take(std::int64_t{1} << 40), Error);
}

}  // namespace
}  // namespace rocket
