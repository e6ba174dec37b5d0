#include "backend/backward.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace rocket {
namespace {

class HandWritten : public torch::autograd::Node {
 public:
  HandWritten(torch::autograd::edge_list&& inputs, std::function<Gradients(const Gradients&)> backward)
      : Node(std::move(inputs)), backward_(std::move(backward)) {}

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const c10::NoGradGuard no_grad;
    return backward_(gradients);
  }

  void release_variables() override { backward_ = nullptr; }

 private:
  std::function<Gradients(const Gradients&)> backward_;
};

class AfterGradient : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit AfterGradient(std::function<void()> added) : added_(std::move(added)) {}
  void operator()(const torch::autograd::Variable&) override { added_(); }

 private:
  std::function<void()> added_;
};

}  // namespace

bool needs_gradient(std::span<const at::Tensor> inputs) {
  return c10::GradMode::is_enabled() &&
         std::ranges::any_of(inputs, [](const at::Tensor& x) { return x.defined() && x.requires_grad(); });
}

bool needs_gradient(const at::Tensor& input) {
  return needs_gradient(std::span(&input, 1));
}

void differentiate(std::span<const at::Tensor> inputs, std::span<at::Tensor> outputs,
                   std::function<Gradients(const Gradients&)> backward) {
  torch::autograd::edge_list edges;
  for (const at::Tensor& input : inputs) {
    edges.push_back(input.defined() && input.requires_grad() ? torch::autograd::impl::gradient_edge(input)
                                                             : torch::autograd::Edge());
  }
  const auto node = std::make_shared<HandWritten>(std::move(edges), std::move(backward));
  for (at::Tensor& output : outputs) {
    output = output.detach();
    torch::autograd::create_gradient_edge(output, node);
  }
}

at::Tensor recomputed(const at::Tensor& x, std::function<at::Tensor(const at::Tensor&)> step) {
  const bool wanted = x.requires_grad();
  const at::Tensor start = x.detach();
  std::array<at::Tensor, 1> out;
  {
    const c10::NoGradGuard no_grad;
    out[0] = step(start.clone());  // without gradients a step may overwrite what it reads
  }
  differentiate(std::span(&x, 1), out, [wanted, start, step = std::move(step)](const Gradients& dy) {
    const c10::AutoGradMode with_grad(true);
    const at::Tensor again = start.detach();
    again.requires_grad_(wanted);
    const at::Tensor y = step(again);
    if (y.requires_grad()) y.backward(dy[0]);  // else nothing in the step learns
    return Gradients{again.grad()};
  });
  return out[0];
}

void after_gradient(const at::Tensor& leaf, std::function<void()> added) {
  torch::autograd::impl::set_post_acc_grad_hooks(leaf, std::make_unique<AfterGradient>(std::move(added)));
}

}  // namespace rocket
