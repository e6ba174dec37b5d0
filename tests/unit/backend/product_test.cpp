#include "backend/cpu/product.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "unit/model/support.h"

namespace rocket {
namespace {

at::Tensor numbers(std::int64_t rows, std::int64_t columns, double step) {
  return (at::remainder(at::arange(rows * columns, at::kFloat) * step, 1.0) - 0.5).view({rows, columns});
}

struct Shape {
  std::int64_t inputs, outputs;
};

class ProductTest : public testing::TestWithParam<std::tuple<Shape, at::ScalarType>> {
 protected:
  void TearDown() override { at::set_num_threads(1); }
  Shape shape() const { return std::get<0>(GetParam()); }
  at::ScalarType type() const { return std::get<1>(GetParam()); }
  /// Sums are float32; in bfloat16 only results are rounded.
  double tolerance() const { return type() == at::kFloat ? 1e-5 : 1e-5 + 1.0 / 256; }
  const at::Tensor weight = numbers(shape().outputs, shape().inputs, 0.41421356).to(type());
  const at::Tensor x = numbers(300, shape().inputs, 0.61803399).to(type());
};

at::Tensor product(const at::Tensor& x, const at::Tensor& weight) {
  return times(packed_weight(weight, true), x);
}

/// The largest difference, as a share of the value where that is above one.
double distance(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor wide = expected.to(at::kDouble);
  return ((found.to(at::kDouble) - wide).abs() / wide.abs().clamp_min(1)).max().item<double>();
}

TEST_P(ProductTest, BitsOfARowDependOnNothingElse) {
  const at::Tensor whole = product(x, weight);
  for (const int threads : {1, 2, 3, 8}) {
    at::set_num_threads(threads);
    EXPECT_TRUE(product(x, weight).equal(whole)) << threads << " threads";
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 100}) {
      for (const std::int64_t first : {0, 1, 37}) {
        const at::Tensor some = product(x.narrow(0, first, rows), weight);
        EXPECT_TRUE(some.equal(whole.narrow(0, first, rows))) << rows << " rows, " << threads << " threads";
      }
    }
  }
}

TEST_P(ProductTest, IsTheProduct) {
  const at::Tensor expected = at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
  for (const std::int64_t rows : {1, 3, 300}) {
    const at::Tensor found = product(x.narrow(0, 0, rows), weight);
    EXPECT_EQ(found.scalar_type(), type());
    EXPECT_EQ(found.sizes(), (std::vector<std::int64_t>{rows, shape().outputs}));
    EXPECT_LT(distance(found, expected.narrow(0, 0, rows)), tolerance());
  }
}

TEST_P(ProductTest, TakesViewsOfLargerMatrices) {
  const at::Tensor expected = product(x, weight);
  at::Tensor around = at::zeros({300, shape().inputs + 3}, x.options());
  around.narrow(1, 1, shape().inputs).copy_(x);
  EXPECT_TRUE(product(around.narrow(1, 1, shape().inputs), weight).equal(expected));
  EXPECT_TRUE(product(x.t().contiguous().t(), weight).equal(expected));
}

TEST_P(ProductTest, APackedWeightGivesTheSameBits) {
  const LinearWeight packed = packed_weight(weight, true), plain = packed_weight(weight, false);
  at::set_num_threads(2);
  EXPECT_TRUE(times(packed, x).equal(product(x, weight)));
  if (type() == at::kFloat) {
    EXPECT_TRUE(times(plain, x).equal(times(packed, x)));
  } else {
    EXPECT_LT(distance(times(plain, x), times(packed, x)), 2 * tolerance()) << "through LibTorch";
  }
  EXPECT_TRUE(sums(plain, x).equal(sums(packed, x)));
  EXPECT_TRUE(sums(packed, x).to(type()).equal(times(packed, x)));
  EXPECT_EQ(sums(packed, x).scalar_type(), at::kFloat);
  EXPECT_LT(distance(sums(packed, x), at::mm(x.to(at::kDouble), weight.to(at::kDouble).t())), 1e-5);
}

TEST_P(ProductTest, GradientsAreAddedToOthers) {
  const at::Tensor dy = numbers(300, shape().outputs, 0.7320508).to(type());
  const at::Tensor expected = at::mm(dy.to(at::kDouble), weight.to(at::kDouble));
  at::Tensor dx;
  const LinearWeight linear = packed_weight(weight, true);
  add_gradient(linear, dy, dx);
  EXPECT_EQ(dx.scalar_type(), type());
  EXPECT_LT(distance(dx, expected), tolerance());
  dx = at::ones_like(dx);
  add_gradient(linear, dy, dx);
  EXPECT_LT(distance(dx, expected + 1), tolerance());
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ProductTest,
    testing::Combine(testing::Values(Shape{128, 1}, Shape{128, 2}, Shape{64, 3}, Shape{1, 128}, Shape{4, 128},
                                     Shape{7, 33}, Shape{128, 8}, Shape{128, 16}, Shape{20, 20},
                                     Shape{64, 64}, Shape{128, 256}, Shape{256, 1456}, Shape{1024, 600},
                                     Shape{2048, 300}, Shape{1024, 1536}),
                     testing::Values(at::kFloat, at::kBFloat16)),
    [](const auto& info) {
      const Shape shape = std::get<0>(info.param);
      return (std::get<1>(info.param) == at::kFloat ? "float32_" : "bfloat16_") +
             std::to_string(shape.inputs) + "_" + std::to_string(shape.outputs);
    });

TEST(Product, WorksInEveryModeAndOnThreads) {
  at::set_num_threads(2);
  const at::Tensor x = numbers(600, 128, 0.618), weight = numbers(128, 128, 0.414);
  const at::Tensor expected = product(x, weight);
  {
    const c10::InferenceMode inference;
    EXPECT_TRUE(product(x, weight).equal(expected));
    EXPECT_TRUE(product(x.clone(), weight).equal(expected));
  }
  {
    const c10::NoGradGuard no_grad;
    const at::Tensor found = product(x, weight);
    EXPECT_TRUE(found.equal(expected));
    EXPECT_FALSE(found.is_inference());
  }
  at::Tensor leaf = x.clone().requires_grad_();
  product(leaf, weight).sum().backward();
  EXPECT_LT(test::largest_difference(leaf.grad(), weight.sum(0).expand_as(x)), 1e-4);
  at::set_num_threads(1);
}

}  // namespace
}  // namespace rocket
