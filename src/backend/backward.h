// Steps of the backward pass that are written by hand, as nodes of LibTorch's graph.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <span>
#include <vector>

namespace rocket {

using Gradients = std::vector<at::Tensor>;

/// Whether autograd is on and one of them requires a gradient.
bool needs_gradient(std::span<const at::Tensor> inputs);
bool needs_gradient(const at::Tensor& input);

/// Joins `outputs`, computed without autograd, to the graph: `backward` makes of their gradients (undefined
/// where there is none) those of `inputs` (undefined ones are left out). It keeps what it captures until it
/// has run; it must not capture an input or output that requires a gradient: those it takes detached.
void differentiate(std::span<const at::Tensor> inputs, std::span<at::Tensor> outputs,
                   std::function<Gradients(const Gradients&)> backward);

/// step(x) without keeping what it computes inside: the backward pass computes it again. `step` may use
/// further leaves of the graph, and must do the same each time.
at::Tensor recomputed(const at::Tensor& x, std::function<at::Tensor(const at::Tensor&)> step);

/// Calls `added` each time that a backward pass has added to the gradient of this leaf.
void after_gradient(const at::Tensor& leaf, std::function<void()> added);

}  // namespace rocket
