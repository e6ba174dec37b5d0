// The layer in float64 against tests/data/moe/layer.json: a loop over experts in PyTorch, with its gradients.
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "moe/mixture_layer.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

using nlohmann::json;

constexpr double kBound = 1e-10;

at::Tensor exact(const json& values, at::IntArrayRef shape) {
  return at::tensor(values.get<std::vector<double>>(), at::kDouble).view(shape);
}

/// The members' matrices below each other (A), or side by side (B).
at::Tensor joined(const json& members, const std::vector<std::int64_t>& ranks, std::int64_t width,
                  bool below) {
  std::vector<at::Tensor> parts;
  for (std::size_t e = 0; e < members.size(); ++e)
    parts.push_back(below ? exact(members[e], {ranks[e], width}) : exact(members[e], {width, ranks[e]}));
  return at::cat(parts, below ? 0 : 1).requires_grad_();
}

/// A case with all its modules; those without an expert are not given to the layer.
struct Reference {
  explicit Reference(const json& c)
      : of(c), inputs(c["inputs"]), x(exact(c["x"], {-1, inputs}).requires_grad_()) {
    for (const json& module : of["modules"]) {
      y.push_back(at::mm(x, exact(module["base"], {-1, inputs}).t()));
      if (!module["experts"].empty()) add(module);
    }
  }

  void add(const json& module) {
    std::vector<std::int64_t> ranks;
    std::vector<double> scales;
    for (const std::size_t expert : module["experts"]) {
      ranks.push_back(of["ranks"][expert]);
      scales.push_back(of["scales"][expert]);
    }
    columns.add_module(ranks, scales);
    parameters.a_RI.push_back(joined(module["a"], ranks, inputs, true));
    parameters.router_NI.push_back(exact(module["router"], {-1, inputs}).requires_grad_());
    parameters.b_OR.push_back(joined(module["b"], ranks, module["outputs"], false));
    ranks_of.push_back(ranks);
    adapted.push_back(y.size() - 1);
  }

  /// Puts the layer's outputs into y.
  void forward() {
    std::vector<at::Tensor> outputs;
    for (const std::size_t m : adapted) outputs.push_back(y[m]);
    add_mixture(backend_for(at::kCPU, x.scalar_type()), x, outputs, columns, parameters,
                {of["top_k"], of["top_p"]}, {}, {of["balance_coefficient"], of["z_coefficient"]}, false);
    for (std::size_t i = 0; i < adapted.size(); ++i) y[adapted[i]] = outputs[i];
  }

  const json& of;
  std::int64_t inputs;
  at::Tensor x;
  ExpertColumns columns;
  LayerParameters parameters;
  std::vector<at::Tensor> y;                        // of every module
  std::vector<std::size_t> adapted;                 // which modules have experts
  std::vector<std::vector<std::int64_t>> ranks_of;  // of the experts of these
};

void expect_equal(const at::Tensor& found, const at::Tensor& expected, const char* what) {
  EXPECT_LT(test::largest_difference(found, expected.view(found.sizes())), kBound) << what;
}

TEST(MixtureReference, Float64AgreesWithALoopOverExperts) {
  const json file = test::read_reference("tests/data/moe/layer.json");
  const c10::AutoGradMode with_grad(true);
  for (const json& c : file["more_cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>());
    Reference layer(c);
    layer.forward();
    at::Tensor objective = at::zeros({}, at::kDouble);
    for (std::size_t m = 0; m < layer.y.size(); ++m) {
      const json& module = c["modules"][m];
      expect_equal(layer.y[m].detach(), exact(module["y"], layer.y[m].sizes()), "y");
      objective = objective + (layer.y[m] * exact(module["weight"], layer.y[m].sizes())).sum();
    }
    objective.backward();
    expect_equal(layer.x.grad(), exact(c["x_grad"], layer.x.sizes()), "x");
    for (std::size_t i = 0; i < layer.adapted.size(); ++i) {
      const json& module = c["modules"][layer.adapted[i]];
      const auto& ranks = layer.ranks_of[i];
      const at::Tensor router = layer.parameters.router_NI[i];
      expect_equal(layer.parameters.a_RI[i].grad(),
                   joined(module["a_grad"], ranks, layer.inputs, true).detach(), "A");
      expect_equal(layer.parameters.b_OR[i].grad(),
                   joined(module["b_grad"], ranks, module["outputs"], false).detach(), "B");
      expect_equal(router.grad().defined() ? router.grad() : at::zeros_like(router),
                   exact(module["router_grad"], router.sizes()), "router");
    }
  }
}

}  // namespace
}  // namespace rocket
