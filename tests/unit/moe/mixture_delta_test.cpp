#include "moe/mixture_delta.h"

#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "backend/torch/routing.h"
#include "model/decoder.h"
#include "moe/router.h"
#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

using nlohmann::json;
using test::largest_difference;

at::Tensor tensor_of(const json& values, at::IntArrayRef shape) {
  return at::tensor(values.get<std::vector<float>>()).view(shape);
}

PackedRows rows_of(std::vector<std::size_t> lengths) {
  std::vector<std::vector<TokenId>> sequences;
  for (const std::size_t n : lengths) sequences.emplace_back(n, 1);
  return pack(sequences, at::kCPU);
}

/// One case of tests/data/moe/layer.json: modules that read one input, as a mixture.
struct LayerCase {
  explicit LayerCase(const json& c) : reference(c), inputs(c["inputs"]) {
    const std::size_t count = c["ranks"].size();
    std::vector<LoraAdapter> experts(count);
    for (std::size_t i = 0; i < count; ++i) experts[i].name = std::to_string(i);
    for (std::size_t m = 0; m < c["modules"].size(); ++m) add_module(c["modules"][m], m, experts);
    mixture.emplace(
        Mixture::assemble(experts, modules, {.top_k = c["top_k"], .top_p = c.value("top_p", 1.0)}, at::kCPU));
    for (const MixtureModule& m : mixture->modules())
      m.router_NI.copy_(tensor_of(module(m)["router"], m.router_NI.sizes()));
  }

  const json& module(const MixtureModule& m) const {
    return reference["modules"][static_cast<std::size_t>(m.module)];
  }
  RouterLosses losses() const {
    return {reference.value("balance_coefficient", 0.0), reference.value("z_coefficient", 0.0)};
  }

  void add_module(const json& module, std::size_t index, std::vector<LoraAdapter>& experts) {
    modules.push_back({fmt::format("m{}", index), inputs, module["outputs"], 0});
    for (std::size_t e = 0; e < module["experts"].size(); ++e) {
      const std::size_t i = module["experts"][e];
      const std::int64_t r = reference["ranks"][i];
      experts[i].weights.push_back({static_cast<std::int64_t>(index), tensor_of(module["a"][e], {r, inputs}),
                                    tensor_of(module["b"][e], {modules.back().outputs, r}),
                                    reference["scales"][i]});
    }
  }

  at::Tensor base(std::size_t m) const {
    return tensor_of(reference["modules"][m]["base"], {modules[m].outputs, inputs});
  }
  at::Tensor x() const { return tensor_of(reference["x"], {-1, inputs}); }

  /// Outputs of all modules for x.
  std::vector<at::Tensor> forward(MixtureDelta& delta, const at::Tensor& x) const {
    std::vector<at::Tensor> outputs;
    std::vector<std::int64_t> indices;
    for (std::size_t m = 0; m < modules.size(); ++m) {
      outputs.push_back(at::mm(x, base(m).t()));
      indices.push_back(static_cast<std::int64_t>(m));
    }
    delta.arrange(rows_of({static_cast<std::size_t>(x.size(0))}));
    delta.add(backend_for(at::kCPU, x.scalar_type()), x, indices, outputs);
    return outputs;
  }

  const json& reference;
  std::int64_t inputs;
  std::vector<Module> modules;
  std::optional<Mixture> mixture;
};

/// Cases computed in float32 without losses, and those of other rules and with losses, in float64.
std::vector<json> all_cases() {
  const json reference = test::read_reference("tests/data/moe/layer.json");
  std::vector<json> all = reference["cases"];
  all.insert(all.end(), reference["more_cases"].begin(), reference["more_cases"].end());
  return all;
}

/// Compares the gradients of A, stacked, and B, side by side, with those of the single experts.
void expect_gradients(const json& module, const MixtureModule& m) {
  std::int64_t column = 0;
  for (std::size_t e = 0; e < m.experts.size(); ++e) {
    const std::int64_t r = m.ranks[e];
    const at::Tensor a = m.a_RI.grad().narrow(0, column, r), b = m.b_OR.grad().narrow(1, column, r);
    EXPECT_LT(largest_difference(a, tensor_of(module["a_grad"][e], a.sizes())), 1e-5);
    EXPECT_LT(largest_difference(b, tensor_of(module["b_grad"][e], b.sizes())), 1e-5);
    column += r;
  }
  EXPECT_LT(largest_difference(m.router_NI.grad(), tensor_of(module["router_grad"], m.router_NI.sizes())),
            1e-5);
}

TEST(MixtureDelta, AgreesWithALoopOverExperts) {
  for (const json& c : all_cases()) {
    SCOPED_TRACE(c.value("name", ""));
    LayerCase layer(c);
    at::Tensor gradient_P = at::zeros_like(layer.mixture->flat());
    layer.mixture->track_gradient(gradient_P);
    const at::Tensor x = layer.x().requires_grad_();
    MixtureDelta delta(*layer.mixture, DropoutKey{}, layer.losses());
    const std::vector<at::Tensor> outputs = layer.forward(delta, x);
    at::Tensor objective = at::zeros({});
    for (std::size_t m = 0; m < outputs.size(); ++m) {
      const json& module = c["modules"][m];
      EXPECT_LT(largest_difference(outputs[m], tensor_of(module["y"], outputs[m].sizes())), 1e-5);
      objective = objective + (outputs[m] * tensor_of(module["weight"], outputs[m].sizes())).sum();
    }
    objective.backward();
    for (const MixtureModule& m : layer.mixture->modules()) expect_gradients(layer.module(m), m);
    EXPECT_LT(largest_difference(x.grad(), tensor_of(c["x_grad"], x.sizes())), 1e-5);
    EXPECT_GT(gradient_P.abs().max().item<float>(), 0) << "gradients are views of the flat buffer";
  }
}

TEST(MixtureDelta, CountsChoices) {
  for (const json& c : all_cases()) {
    const LayerCase layer(c);
    MixtureDelta delta(*layer.mixture, DropoutKey{});
    layer.forward(delta, layer.x());
    for (std::size_t position = 0; position < layer.mixture->modules().size(); ++position) {
      const json& module = layer.module(layer.mixture->modules()[position]);
      std::vector<float> expected(c["ranks"].size(), 0);
      for (std::size_t e = 0; e < module["experts"].size(); ++e)
        expected[module["experts"][e]] = module["choices"][e];
      EXPECT_EQ(delta.choices()[position], expected);
    }
  }
}

TEST(MixtureDelta, GatesBreakTiesTowardsTheLowestExpert) {
  const json reference = test::read_reference("tests/data/moe/layer.json");
  for (const json& row : reference["gates"]) {
    const auto experts = static_cast<std::int64_t>(row["logits"][0].size());
    const at::Tensor g = route(tensor_of(row["logits"][0], {1, experts}), {row["top_k"]}).gates_TN;
    EXPECT_LT(largest_difference(g, tensor_of(row["gates"][0], {1, experts})), 1e-6) << row;
  }
  EXPECT_TRUE(at::equal(route(at::zeros({1, 20}), {2}).gates_TN,
                        at::cat({at::full({2}, 0.5f), at::zeros({18})}).view({1, 20})));
}

TEST(MixtureDelta, OnlyRoutersLearnWhereAsked) {
  const json reference = test::read_reference("tests/data/moe/layer.json");
  LayerCase layer(reference["cases"][1]);
  layer.mixture->track_gradient(at::zeros_like(layer.mixture->flat()), /*routers_only=*/true);
  MixtureDelta delta(*layer.mixture, DropoutKey{});
  layer.forward(delta, layer.x())[0].sum().backward();
  EXPECT_FALSE(layer.mixture->modules()[0].a_RI.requires_grad());
  EXPECT_GT(layer.mixture->modules()[0].router_NI.grad().abs().max().item<float>(), 0);
  layer.mixture->track_gradient({});
  EXPECT_FALSE(layer.mixture->modules()[0].router_NI.requires_grad());
}

TEST(MixtureDelta, LeavesModulesWithoutExpertsAlone) {
  const std::vector<LoraAdapter> experts{{"x", {{1, at::ones({1, 6}), at::ones({4, 1}), 1}}}};
  const Mixture mixture = Mixture::assemble(experts, test::kModules, {}, at::kCPU);
  MixtureDelta delta(mixture);
  std::vector<at::Tensor> outputs{at::ones({2, 8}), at::ones({2, 4})};
  delta.arrange(rows_of({2}));
  delta.add(cpu_backend(), at::ones({2, 6}), std::vector<std::int64_t>{0, 1}, outputs);
  EXPECT_TRUE(at::equal(outputs[0], at::ones({2, 8})));
  EXPECT_TRUE(at::equal(outputs[1], at::full({2, 4}, 7.0f))) << "one expert of one has gate 1";
}

/// x' of the rows of a packed forward: A = identity, B = identity shows what the experts saw, less the base.
at::Tensor dropped(const DropoutKey& key, const std::vector<std::size_t>& lengths, std::int64_t module = 0,
                   std::int64_t width = 64) {
  const std::vector<Module> modules = {{"a", width, width}, {"b", width, width}};
  const std::vector<LoraAdapter> experts{
      {"x", {{0, at::eye(width), at::eye(width), 1}, {1, at::eye(width), at::eye(width), 1}}}};
  const Mixture mixture = Mixture::assemble(experts, modules, {}, at::kCPU);
  MixtureDelta delta(mixture, key);
  const PackedRows rows = rows_of(lengths);
  delta.arrange(rows);
  std::vector<at::Tensor> outputs{at::zeros({rows.tokens(), width})};
  delta.add(cpu_backend(), at::ones({rows.tokens(), width}), std::vector<std::int64_t>{module}, outputs);
  return outputs[0];
}

TEST(MixtureDelta, DropoutIsAFunctionOfRecordStepAndPlace) {
  const DropoutKey key{0.3, 11, 4, {100, 200}};
  const at::Tensor both = dropped(key, {5, 7});
  EXPECT_TRUE(at::equal(dropped({0.3, 11, 4, {200}}, {7}), both.narrow(0, 5, 7)));
  EXPECT_TRUE(at::equal(dropped({0.3, 11, 4, {200, 100}}, {3, 5}).narrow(0, 3, 5), both.narrow(0, 0, 5)));
  for (const at::Tensor& other :
       {dropped({0.3, 12, 4, {100, 200}}, {5, 7}), dropped({0.3, 11, 5, {100, 200}}, {5, 7}),
        dropped({0.3, 11, 4, {101, 201}}, {5, 7}), dropped(key, {5, 7}, 1)}) {
    EXPECT_FALSE(at::equal(other, both));
  }
  EXPECT_FALSE(at::equal(both[0], both[1]));
}

TEST(MixtureDelta, DropoutKeepsTheRightShareAndScale) {
  const at::Tensor x = dropped({0.05, 1, 1, {9}}, {2000}, 0, 61);
  const at::Tensor zero = x.eq(0).to(at::kFloat);
  EXPECT_NEAR(zero.mean().item<float>(), 0.05, 0.002);
  EXPECT_LT(largest_difference(zero.mean(0), at::full({61}, 0.05)), 0.025) << "every feature alike";
  EXPECT_NEAR(x.max().item<float>(), 1 / 0.95, 1e-6);
  EXPECT_TRUE(at::equal(dropped({0, 1, 1, {9}}, {3}), at::ones({3, 64})));
}

TEST(MixtureDelta, RoutersSeeTheInputWithoutDropout) {
  const json reference = test::read_reference("tests/data/moe/layer.json");
  const LayerCase layer(reference["cases"][1]);
  MixtureDelta clean(*layer.mixture, DropoutKey{}), wet(*layer.mixture, {0.9, 1, 1, {5}});
  const auto without = layer.forward(clean, layer.x()), with = layer.forward(wet, layer.x());
  EXPECT_EQ(clean.choices(), wet.choices());
  EXPECT_FALSE(at::equal(without[0], with[0]));
}

TEST(MixtureDelta, EvaluationIsTrainingWithoutDropout) {
  const json reference = test::read_reference("tests/data/moe/layer.json");
  const LayerCase layer(reference["cases"][1]);
  MixtureDelta training(*layer.mixture, DropoutKey{}), evaluation(*layer.mixture);
  const auto a = layer.forward(training, layer.x()), b = layer.forward(evaluation, layer.x());
  for (std::size_t m = 0; m < a.size(); ++m) EXPECT_TRUE(at::equal(a[m], b[m]));
}

TEST(MixtureDelta, ComputesInBfloat16) {
  const json reference = test::read_reference("tests/data/moe/layer.json");
  const LayerCase layer(reference["cases"][1]);
  MixtureDelta exact(*layer.mixture), rough(*layer.mixture);
  const auto expected = layer.forward(exact, layer.x().to(at::kBFloat16).to(at::kFloat));
  std::vector<at::Tensor> outputs{at::zeros({9, 10}, at::kBFloat16)};
  rough.add(cpu_backend(), layer.x().to(at::kBFloat16), std::vector<std::int64_t>{0}, outputs);
  EXPECT_EQ(outputs[0].scalar_type(), at::kBFloat16);
  const at::Tensor base = at::mm(layer.x().to(at::kBFloat16).to(at::kFloat), layer.base(0).t());
  EXPECT_LT(largest_difference(outputs[0].to(at::kFloat), expected[0] - base), 0.05);
}

}  // namespace
}  // namespace rocket
