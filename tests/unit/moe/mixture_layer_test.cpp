#include "moe/mixture_layer.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <functional>

#include "unit/model/support.h"

namespace rocket {
namespace {

struct Shape {
  std::vector<std::vector<std::int64_t>> ranks;  // of the experts of each module
  std::int64_t top_k = 2;
  float top_p = 1;
  bool dropout = false;
  RouterLosses losses = {};
};

/// A layer of random numbers: tensors are kept in float64, and computed with in `type`.
struct Layer {
  Layer(const Shape& of, std::int64_t tokens, std::int64_t inputs) : shape(of) {
    const auto random = [](std::int64_t rows, std::int64_t columns) {
      return at::randn({rows, columns}, at::kDouble);
    };
    tensors.push_back(random(tokens, inputs));
    for (std::size_t m = 0; m < shape.ranks.size(); ++m) {
      const std::vector<double> scales(shape.ranks[m].size(), 0.5 + static_cast<double>(m));
      columns.add_module(shape.ranks[m], scales);
      const auto index = static_cast<std::int64_t>(m);
      const std::int64_t outputs = 5 + 3 * index, r = columns.columns_of(index);
      tensors.push_back(random(tokens, outputs));
      tensors.push_back(random(r, inputs));
      tensors.push_back(random(columns.experts_of(index), inputs) / 2);
      tensors.push_back(random(outputs, r));
      weights.push_back(random(tokens, outputs));
    }
    if (shape.dropout)
      dropout = {{at::arange(tokens), at::zeros({tokens}, at::kLong), 12345, 3, 1U << 30}, 4.0 / 3};
  }

  std::size_t modules() const { return shape.ranks.size(); }

  /// sum(weights * outputs), differentiable, and the router losses, which are not.
  std::pair<at::Tensor, double> objective(const std::vector<at::Tensor>& t) const {
    LayerParameters parameters;
    std::vector<at::Tensor> outputs;
    for (std::size_t m = 0; m < modules(); ++m) {
      outputs.push_back(t[1 + 4 * m] * 1.0);  // the layer may write into it
      parameters.a_RI.push_back(t[2 + 4 * m]);
      parameters.router_NI.push_back(t[3 + 4 * m]);
      parameters.b_OR.push_back(t[4 + 4 * m]);
    }
    const auto choices = add_mixture(backend_for(at::kCPU, t[0].scalar_type()), t[0], outputs, columns,
                                     parameters, {shape.top_k, shape.top_p}, dropout, shape.losses, true);
    at::Tensor sum = at::zeros({}, t[0].options());
    double losses = 0;
    for (std::size_t m = 0; m < modules(); ++m) {
      sum = sum + (outputs[m] * weights[m].to(t[0].scalar_type())).sum();
      losses += router_losses(t[0], t[3 + 4 * m], choices[m]);
    }
    return {sum, losses};
  }

  /// The Switch balance loss and the z loss of a router with a choice, times their weights.
  double router_losses(const at::Tensor& x_TI, const at::Tensor& router_NI,
                       const at::Tensor& choices_N) const {
    if (router_NI.size(0) == 1) return 0;
    const c10::NoGradGuard no_grad;
    const at::Tensor logits_TN = at::mm(x_TI.to(at::kDouble), router_NI.to(at::kDouble).t());
    const at::Tensor f_N = choices_N.to(at::kDouble) / choices_N.sum(),
                     p_N = at::softmax(logits_TN, 1).mean(0);
    const at::Tensor balance = (f_N * p_N).sum() * router_NI.size(0),
                     z = at::logsumexp(logits_TN, 1).square().mean();
    return (shape.losses.balance * balance + shape.losses.z * z).item<double>();
  }

  /// Gradients of all tensors, computed in `type`; parameters are float32 where that is bfloat16.
  std::vector<at::Tensor> gradients(at::ScalarType type) const {
    std::vector<at::Tensor> leaves;
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      const bool parameter = t > 0 && (t - 1) % 4 != 0;
      leaves.push_back(
          tensors[t].to(parameter && type == at::kBFloat16 ? at::kFloat : type).clone().requires_grad_());
    }
    const c10::AutoGradMode with_grad(true);
    objective(leaves).first.backward();
    std::vector<at::Tensor> result;
    for (const at::Tensor& leaf : leaves)
      result.push_back(leaf.grad().defined() ? leaf.grad().to(at::kDouble)
                                             : at::zeros_like(leaf, at::kDouble));
    return result;
  }

  double value(std::size_t tensor, std::int64_t element, double shift) const {
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> moved = tensors;
    moved[tensor] = tensors[tensor].clone();
    moved[tensor].view(-1)[element] += shift;
    const auto [sum, losses] = objective(moved);
    return sum.item<double>() + losses;
  }

  Shape shape;
  ExpertColumns columns;
  std::vector<at::Tensor> tensors, weights;  // x; then of each module: y, A, router, B
  InputDropout dropout;
};

const std::vector<Shape> kShapes = {
    {.ranks = {{2, 3, 1}, {1, 2}}},
    {.ranks = {{2, 3, 1}, {2}}, .dropout = true},
    {.ranks = {{2, 3, 1}}, .top_k = 1},
    {.ranks = {{2, 3, 1, 2}}, .top_k = 4},
    {.ranks = {{2, 3, 1, 2}}, .top_k = 3, .top_p = 0.6f},
    {.ranks = {{4}}},
    {.ranks = {{4}, {2}}, .dropout = true},
    {.ranks = {{2, 3, 1}, {1, 2}}, .losses = {0.7, 0.2}},
    {.ranks = {{2, 3, 1}, {2}}, .losses = {0.7, 0.2}},
    {.ranks = {{2, 3, 1}}, .top_k = 1, .losses = {0.7, 0.2}},
};

TEST(MixtureLayer, GradientsAreThoseOfDifferencesInFloat64) {
  at::manual_seed(3);
  constexpr double step = 1e-6;
  for (const Shape& shape : kShapes) {
    const Layer layer(shape, 6, 4);
    const std::vector<at::Tensor> gradients = layer.gradients(at::kDouble);
    for (std::size_t t = 0; t < layer.tensors.size(); ++t) {
      for (std::int64_t i = 0; i < layer.tensors[t].numel(); ++i) {
        const double expected = (layer.value(t, i, step) - layer.value(t, i, -step)) / (2 * step);
        EXPECT_NEAR(gradients[t].reshape(-1)[i].item<double>(), expected, 1e-6 * (1 + std::abs(expected)))
            << "tensor " << t << ", element " << i << ", top_k " << shape.top_k;
      }
    }
  }
}

TEST(MixtureLayer, KernelsComputeWhatFloat64Does) {
  at::manual_seed(4);
  for (const Shape& shape : kShapes) {
    Layer layer(shape, 250, 70);  // several bands of rows, widths that no vector divides
    const auto exact = layer.gradients(at::kDouble), ours = layer.gradients(at::kFloat);
    for (std::size_t t = 0; t < exact.size(); ++t) {
      const double size = exact[t].abs().max().item<double>();
      EXPECT_LT(test::largest_difference(ours[t], exact[t]), 2e-5 * (size + 1)) << "tensor " << t;
    }
    const auto [sum, losses] = layer.objective(layer.tensors);
    std::vector<at::Tensor> floats;
    for (const at::Tensor& t : layer.tensors) floats.push_back(t.to(at::kFloat));
    const auto [sum_in_float, losses_in_float] = layer.objective(floats);
    EXPECT_NEAR(sum_in_float.item<float>(), sum.item<double>(), 1e-2);
    EXPECT_NEAR(losses_in_float, losses, 1e-5);
  }
}

TEST(MixtureLayer, Bfloat16StaysNearFloat64) {
  at::manual_seed(5);
  const Layer layer(kShapes[0], 100, 64);
  const auto exact = layer.gradients(at::kDouble), rough = layer.gradients(at::kBFloat16);
  for (std::size_t t = 0; t < exact.size(); ++t) {
    const double distance = (exact[t] - rough[t]).norm().item<double>() / exact[t].norm().item<double>();
    EXPECT_LT(distance, 0.1) << "tensor " << t << ": bfloat16 has eight bits, and near ties choose otherwise";
  }
}

TEST(MixtureLayer, TopPKeepsTheFewestThatReachIt) {
  // p = .5, .3, .15, .05
  const at::Tensor x = at::ones({1, 1});
  const std::vector<double> p{0.5, 0.3, 0.15, 0.05};
  const at::Tensor router = at::tensor(p).log().to(at::kFloat).unsqueeze(1);
  const auto chosen = [&](std::int64_t top_k, float top_p) {
    ExpertColumns columns;
    columns.add_module(std::vector<std::int64_t>{1, 1, 1, 1}, std::vector<double>{1, 1, 1, 1});
    std::vector<at::Tensor> y{at::zeros({1, 1})};
    const auto choices =
        add_mixture(backend_for(at::kCPU, x.scalar_type()), x, y, columns,
                    {{at::ones({4, 1})}, {router}, {at::tensor({1.0f, 10.0f, 100.0f, 1000.0f}).view({1, 4})}},
                    {top_k, top_p}, {}, {}, true);
    const std::int64_t* chose = choices[0].const_data_ptr<std::int64_t>();
    return std::pair(std::vector<std::int64_t>(chose, chose + 4), y[0].item<float>());
  };
  const auto [one, first] = chosen(4, 0.4f);
  EXPECT_EQ(one, (std::vector<std::int64_t>{1, 0, 0, 0}));
  EXPECT_NEAR(first, 1, 1e-6);
  const auto [three, sum] = chosen(4, 0.9f);
  EXPECT_EQ(three, (std::vector<std::int64_t>{1, 1, 1, 0}));
  EXPECT_NEAR(sum, (0.5 + 3 + 15) / 0.95, 1e-4);
  EXPECT_EQ(chosen(2, 0.9f).first, (std::vector<std::int64_t>{1, 1, 0, 0}));
  EXPECT_EQ(chosen(4, 1).first, (std::vector<std::int64_t>{1, 1, 1, 1}));
}

}  // namespace
}  // namespace rocket
