#include "adapters/stack.h"

#include <ATen/Dispatch.h>

#include <algorithm>
#include <functional>

#include "backend/threads.h"
#include "kernels/gram.h"

namespace rocket {
namespace {

// Flattened rows are long: this many are read at a time.
constexpr std::int64_t kGroupRowsFlattened = 48;

/// Rows of a group, more only where one adapter has more.
std::int64_t most_rows(StackRows kind, const Backend& backend) {
  return kind == StackRows::flattened ? std::min(kGroupRowsFlattened, backend.gram_rows())
                                      : backend.gram_rows();
}

void add_adapter(Stack& stack, std::int64_t adapter, const LoraFile::Weight& weight, std::int64_t rows,
                 std::int64_t most) {
  const bool fits = !stack.groups.empty() && stack.starts.back() + stack.rows.back() + rows <= most;
  if (!fits) {
    const std::int64_t panel =
        stack.groups.empty() ? 0 : stack.groups.back().first_panel + stack.groups.back().panels;
    stack.groups.push_back({stack.size(), stack.size(), panel, 0});
  }
  stack.starts.push_back(fits ? stack.starts.back() + stack.rows.back() : 0);
  stack.rows.push_back(rows);
  stack.adapters.push_back(adapter);
  stack.scales.push_back(weight.scale);
  stack.groups.back().last = stack.size();
  stack.groups.back().panels = gram_panels(stack.starts.back() + rows);
}

/// One row of a panel on its way there.
template <class T>
struct Lane {
  const T* values = nullptr;  // null: zeros
  std::int64_t stride = 0;
};

template <class T>
void fill_panel(const Lane<T>* lanes, std::int64_t inner, T* panel) {
  constexpr std::int64_t kAtOnce = 16;  // a cache line of each row
  for (std::int64_t first = 0; first < inner; first += kAtOnce) {
    const std::int64_t end = std::min(inner, first + kAtOnce);
    for (std::int64_t i = 0; i < kGramPanel; ++i) {
      const auto [values, stride] = lanes[i];
      for (std::int64_t k = first; k < end; ++k)
        panel[k * kGramPanel + i] = values != nullptr ? values[k * stride] : T{0};
    }
  }
}

/// Matrices of rows of one length, one after the other, into the group's panels.
template <class T>
void fill_group(const std::vector<at::Tensor>& matrices, const StackGroup& group, at::Tensor& panels) {
  std::vector<Lane<T>> lanes;
  for (const at::Tensor& m : matrices) {
    for (std::int64_t r = 0; r < m.size(0); ++r)
      lanes.push_back({m.const_data_ptr<T>() + r * m.stride(0), m.stride(1)});
  }
  lanes.resize(static_cast<std::size_t>(group.panels * kGramPanel));
  const std::int64_t inner = panels.size(1);
  for (std::int64_t p = 0; p < group.panels; ++p) {
    fill_panel(lanes.data() + p * kGramPanel, inner,
               panels.data_ptr<T>() + (group.first_panel + p) * inner * kGramPanel);
  }
}

void fill_group(const std::vector<at::Tensor>& matrices, const StackGroup& group, at::Tensor& panels) {
  AT_DISPATCH_FLOATING_TYPES(panels.scalar_type(), "fill_group",
                             [&] { fill_group<scalar_t>(matrices, group, panels); });
}

void read_group(const std::vector<LoraFile>& files, std::int64_t module, StackRows kind,
                const StackGroup& group, Stack& stack) {
  std::vector<at::Tensor> a, b;
  for (std::size_t i = group.first; i < group.last; ++i) {
    const LoraFile& file = files[static_cast<std::size_t>(stack.adapters[i])];
    const LoraWeight weight = file.read(*file.find(module), stack.a.scalar_type(), at::kCPU);
    const bool flattened = kind == StackRows::flattened;
    a.push_back(flattened ? weight.a_RI.view({1, -1}) : weight.a_RI);
    b.push_back(flattened ? weight.b_OR.view({1, -1}) : weight.b_OR.t());
  }
  fill_group(a, group, stack.a);
  fill_group(b, group, stack.b);
}

/// float32 holds every value of the smaller types.
at::ScalarType type_of(const std::vector<LoraFile>& files) {
  const auto is_double = [](const LoraFile::Weight& w) {
    return w.a->dtype == DType::f64 || w.b->dtype == DType::f64;
  };
  const bool any = std::ranges::any_of(
      files, [&](const LoraFile& f) { return std::ranges::any_of(f.weights(), is_double); });
  return any ? at::kDouble : at::kFloat;
}

/// Products of all rows of two groups, float64 on the CPU.
at::Tensor gram(const Stack& stack, const at::Tensor& panels, const StackGroup& rows,
                const StackGroup& columns) {
  const at::Tensor left = panels.narrow(0, rows.first_panel, rows.panels);
  return rows.first == columns.first
             ? stack.backend->gram(left, left)
             : stack.backend->gram(left, panels.narrow(0, columns.first_panel, columns.panels));
}

/// work(rows, columns) for every pair of groups, on all threads.
void for_group_pairs(const Stack& stack,
                     const std::function<void(const StackGroup&, const StackGroup&)>& work) {
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (std::size_t i = 0; i < stack.groups.size(); ++i)
    for (std::size_t j = i; j < stack.groups.size(); ++j) pairs.emplace_back(i, j);
  on_threads(static_cast<std::int64_t>(pairs.size()), [&](std::int64_t p) {
    const auto [i, j] = pairs[static_cast<std::size_t>(p)];
    work(stack.groups[i], stack.groups[j]);
  });
}

/// Sum of a * b over a pair's rows and columns of two Gram matrices of one shape.
double sum_of_products(const Stack& stack, std::size_t i, std::size_t j, const at::Tensor& gram_a,
                       const at::Tensor& gram_b) {
  const std::int64_t columns = gram_a.size(1);
  const double *a = gram_a.const_data_ptr<double>(), *b = gram_b.const_data_ptr<double>();
  double sum = 0;
  for (std::int64_t r = stack.starts[i]; r < stack.starts[i] + stack.rows[i]; ++r) {
    for (std::int64_t c = stack.starts[j]; c < stack.starts[j] + stack.rows[j]; ++c)
      sum += a[r * columns + c] * b[r * columns + c];
  }
  return sum;
}

}  // namespace

Stack stack_module(const std::vector<LoraFile>& files, std::int64_t module, StackRows kind,
                   at::Device device) {
  Stack stack{.backend = &backend_for(device, at::kFloat)};
  std::int64_t a_row = 0, b_row = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const LoraFile::Weight* found = files[i].find(module);
    if (found == nullptr) continue;
    const std::int64_t rows = kind == StackRows::ranks ? found->lora_r : 1;
    a_row = found->a->shape[1] * found->lora_r / rows;
    b_row = found->b->shape[0] * found->lora_r / rows;
    add_adapter(stack, static_cast<std::int64_t>(i), *found, rows, most_rows(kind, *stack.backend));
  }
  if (stack.groups.empty()) return stack;
  const std::int64_t panels = stack.groups.back().first_panel + stack.groups.back().panels;
  stack.a = at::empty({panels, a_row, kGramPanel}, type_of(files));
  stack.b = at::empty({panels, b_row, kGramPanel}, type_of(files));
  on_threads(static_cast<std::int64_t>(stack.groups.size()), [&](std::int64_t g) {
    read_group(files, module, kind, stack.groups[static_cast<std::size_t>(g)], stack);
  });
  stack.a = stack.a.to(device);
  stack.b = stack.b.to(device);
  return stack;
}

std::vector<double> delta_products(const Stack& stack) {
  const std::size_t n = stack.size();
  std::vector<double> product(n * n, 0);
  for_group_pairs(stack, [&](const StackGroup& rows, const StackGroup& columns) {
    // <B_i A_i, B_j A_j> = tr((B_i^T B_j)(A_j A_i^T)) = sum of (A_i A_j^T) * (B_i^T B_j)
    const at::Tensor a = gram(stack, stack.a, rows, columns), b = gram(stack, stack.b, rows, columns);
    for (std::size_t i = rows.first; i < rows.last; ++i) {
      for (std::size_t j = std::max(i, columns.first); j < columns.last; ++j)
        product[i * n + j] = stack.scales[i] * stack.scales[j] * sum_of_products(stack, i, j, a, b);
    }
  });
  return product;
}

std::vector<double> factor_products(const Stack& stack, const at::Tensor& factor) {
  const std::size_t n = stack.size();
  std::vector<double> product(n * n, 0);
  for_group_pairs(stack, [&](const StackGroup& rows, const StackGroup& columns) {
    const at::Tensor products = gram(stack, factor, rows, columns);
    const double* data = products.const_data_ptr<double>();
    for (std::size_t i = rows.first; i < rows.last; ++i) {
      for (std::size_t j = std::max(i, columns.first); j < columns.last; ++j)
        product[i * n + j] = data[stack.starts[i] * products.size(1) + stack.starts[j]];
    }
  });
  return product;
}

}  // namespace rocket
