// Rows of many adapters side by side, and the inner products between them.
#pragma once

#include <vector>

#include "adapters/lora.h"
#include "backend/backend.h"

namespace rocket {

/// Adapters whose rows are multiplied together. They begin with a panel of their own, so that a pair of
/// groups is a piece of work by itself.
struct StackGroup {
  std::size_t first = 0, last = 0;  // places in the stack
  std::int64_t first_panel = 0, panels = 0;
};

enum class StackRows {
  ranks,     // lora_r rows of an adapter: those of A [inputs], and of B transposed [outputs]
  flattened  // one row of an adapter: A, and B, each [all its values]
};

/// The adapters that change one module. Values are float32, or float64 where a file holds such, in the panels
/// of kernels/gram.h: [panels, length of a row, kGramPanel].
struct Stack {
  const Backend* backend = nullptr;    // computes the products
  std::vector<std::int64_t> adapters;  // places among the files, ascending
  std::vector<std::int64_t> starts;    // first row of each, counted from the beginning of its group
  std::vector<std::int64_t> rows;      // of each
  std::vector<double> scales;
  std::vector<StackGroup> groups;
  at::Tensor a, b;

  std::size_t size() const { return adapters.size(); }
};

/// Reads each adapter's weight of this module once. Throws as LoraFile::read does.
Stack stack_module(const std::vector<LoraFile>& files, std::int64_t module, StackRows kind,
                   at::Device device);

/// Upper triangle [n, n] of <delta W_i, delta W_j>, of a stack of `ranks`.
std::vector<double> delta_products(const Stack& stack);

/// Upper triangle [n, n] of the inner products of one factor, a or b, of a stack of `flattened`.
std::vector<double> factor_products(const Stack& stack, const at::Tensor& factor);

}  // namespace rocket
