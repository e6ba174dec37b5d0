// The mixture layer on the GPU against the CPU's in float64.
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include "backend/rows.h"
#include "gpu/support.h"
#include "moe/dropout.h"
#include "moe/mixture_layer.h"

namespace rocket {
namespace {

constexpr std::int64_t kTokens = 70, kInputs = 48;

/// Two weights that read one input: three experts of different ranks, and one or two.
struct Layer {
  explicit Layer(std::vector<std::int64_t> second) {
    at::manual_seed(3);
    add_weight({4, 8, 2}, 40);
    add_weight(std::move(second), 24);
    tensors.push_back(random(kTokens, kInputs));
  }

  static at::Tensor random(std::int64_t rows, std::int64_t columns) {
    return at::randn({rows, columns}, at::kDouble) / std::sqrt(static_cast<double>(columns));
  }

  void add_weight(std::vector<std::int64_t> ranks, std::int64_t outputs) {
    std::vector<double> scales;
    std::int64_t r = 0;
    for (const std::int64_t rank : ranks) {
      scales.push_back(16.0 / static_cast<double>(rank));
      r += rank;
    }
    columns.add_module(ranks, scales);
    const auto experts = static_cast<std::int64_t>(ranks.size());
    tensors.insert(tensors.end(), {random(r, kInputs), 20 * random(experts, kInputs), random(outputs, r),
                                   random(kTokens, outputs)});
  }

  /// The outputs, then the gradients of all tensors.
  std::vector<at::Tensor> pass(at::ScalarType type, at::Device device) const {
    std::vector<at::Tensor> leaves;
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      const bool parameter = t + 1 < tensors.size() && t % 4 != 3;
      leaves.push_back(tensors[t]
                           .to(device, parameter && type == at::kBFloat16 ? at::kFloat : type)
                           .clone()
                           .requires_grad_());
    }
    const c10::AutoGradMode with_grad(true);
    std::vector<at::Tensor> y{leaves[3] * 1, leaves[7] * 1};
    add_mixture(backend_for(device, type), leaves.back(), y, columns,
                {{leaves[0], leaves[4]}, {leaves[1], leaves[5]}, {leaves[2], leaves[6]}}, {2, 1.0f}, {},
                {0.3, 0.02}, false);
    ((y[0] * y[0]).sum() + (y[1] * y[1]).sum()).backward();
    std::vector<at::Tensor> all = y;
    for (const at::Tensor& leaf : leaves) {
      if (leaf.grad().defined()) all.push_back(leaf.grad());
    }
    return all;
  }

  ExpertColumns columns;
  std::vector<at::Tensor> tensors;  // of each weight A, router, B, y; then x
};

void expect_parity(at::ScalarType type, double bound) {
  for (const Layer& layer : {Layer({3, 5}), Layer({6})}) {
    const auto expected = layer.pass(at::kDouble, at::kCPU), found = layer.pass(type, test::gpu());
    ASSERT_EQ(found.size(), expected.size());
    double worst = 0;
    for (std::size_t i = 0; i < found.size(); ++i)
      worst = std::max(worst, test::relative_distance(found[i], expected[i]));
    std::cout << at::toString(type) << ": worst relative distance of outputs and gradients " << worst << "\n";
    EXPECT_LT(worst, bound);
  }
}

TEST(GpuMixture, AgreesInFloat32) {
  expect_parity(at::kFloat, 1e-5);
}
TEST(GpuMixture, AgreesInFloat64) {
  expect_parity(at::kDouble, 1e-12);
}
TEST(GpuMixture, AgreesInBfloat16) {
  expect_parity(at::kBFloat16, 0.2);  // near ties choose otherwise
}

TEST(GpuMixture, DropoutHasTheCpusBits) {
  const std::vector<std::vector<TokenId>> sequences{std::vector<TokenId>(37), std::vector<TokenId>(1),
                                                    std::vector<TokenId>(300)};
  const DropoutKey key{0.1, 5, 77, {8, 1'000'000'007, 3}};
  for (const std::int64_t features : {1, 6, 64, 4099}) {
    Dropout cpu(key), gpu(key);
    cpu.arrange(pack(sequences, at::kCPU));
    gpu.arrange(pack(sequences, test::gpu()));
    const at::Tensor expected =
                         backend_for(at::kCPU, at::kFloat).dropout_mask(cpu.of_input(13).draw, features),
                     found =
                         backend_for(test::gpu(), at::kFloat).dropout_mask(gpu.of_input(13).draw, features);
    EXPECT_EQ(found.device(), test::gpu());
    EXPECT_TRUE(at::equal(found.cpu(), expected)) << features;
  }
}

}  // namespace
}  // namespace rocket
