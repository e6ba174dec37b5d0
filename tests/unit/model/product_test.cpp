#include "model/product.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "support.h"

namespace rocket {
namespace {

at::Tensor numbers(std::int64_t rows, std::int64_t columns, double step) {
  return (at::remainder(at::arange(rows * columns, at::kFloat) * step, 1.0) - 0.5).view({rows, columns});
}

struct Shape {
  std::int64_t inputs, outputs;
};

class ProductTest : public testing::TestWithParam<Shape> {
 protected:
  void TearDown() override { at::set_num_threads(1); }
  const at::Tensor weight = numbers(GetParam().outputs, GetParam().inputs, 0.41421356);
  const at::Tensor x = numbers(300, GetParam().inputs, 0.61803399);
};

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
    EXPECT_EQ(found.sizes(), (std::vector<std::int64_t>{rows, GetParam().outputs}));
    EXPECT_LT(test::largest_difference(found.to(at::kDouble), expected.narrow(0, 0, rows)), 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ProductTest,
                         testing::Values(Shape{128, 1}, Shape{128, 2}, Shape{64, 3}, Shape{1, 128},
                                         Shape{4, 128}, Shape{128, 8}, Shape{128, 16}, Shape{20, 20},
                                         Shape{64, 64}, Shape{128, 256}, Shape{256, 1456}, Shape{1024, 600},
                                         Shape{1024, 1536}));

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
