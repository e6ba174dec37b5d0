#include "adapters/stack.h"

#include <algorithm>
#include <functional>

#include "kernels/kernels.h"
#include "model/threads.h"

namespace rocket {
namespace {

// Rows of a group, more only where one adapter has more. On the CPU a piece of them stays in a core's second
// cache while the others pass by; a GPU wants larger products.
constexpr std::int64_t kGroupRows = 384, kGroupRowsOfGpu = 4096;
// Flattened rows are long: this many are read at a time.
constexpr std::int64_t kGroupRowsFlattened = 48;

std::int64_t most_rows(StackRows kind, at::Device device) {
  if (!device.is_cpu()) return kGroupRowsOfGpu;
  return kind == StackRows::flattened ? kGroupRowsFlattened : kGroupRows;
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
  if (panels.scalar_type() == at::kDouble) {
    fill_group<double>(matrices, group, panels);
  } else {
    fill_group<float>(matrices, group, panels);
  }
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

template <class T>
void multiply(void (*kernel)(const GramBlock<T>&), const at::Tensor& panels, const StackGroup& rows,
              const StackGroup& columns, at::Tensor& out) {
  const std::int64_t inner = panels.size(1), panel = inner * kGramPanel;
  const T* data = panels.const_data_ptr<T>();
  const at::Tensor scratch = at::empty({gram_scratch(rows.panels)}, at::kDouble);
  kernel({inner, data + rows.first_panel * panel, rows.panels, data + columns.first_panel * panel,
          columns.panels, out.data_ptr<double>(), scratch.data_ptr<double>()});
}

/// What is on and above the diagonal's panels, below it too.
void mirror(at::Tensor& square) {
  const std::int64_t n = square.size(0);
  double* data = square.data_ptr<double>();
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) data[i * n + j] = data[j * n + i];
  }
}

/// Products of all rows of two groups, float64 on the CPU.
at::Tensor gram(const at::Tensor& panels, const StackGroup& rows, const StackGroup& columns) {
  if (!panels.is_cpu()) {
    const auto plain = [&](const StackGroup& g) {
      return panels.narrow(0, g.first_panel, g.panels)
          .permute({0, 2, 1})
          .reshape({-1, panels.size(1)})
          .to(at::kDouble);
    };
    return at::mm(plain(rows), plain(columns).t()).cpu();
  }
  at::Tensor out = at::empty({rows.panels * kGramPanel, columns.panels * kGramPanel}, at::kDouble);
  if (panels.scalar_type() == at::kDouble) {
    multiply(kernels().gram_of_doubles, panels, rows, columns, out);
  } else {
    multiply(kernels().gram_of_floats, panels, rows, columns, out);
  }
  if (rows.first == columns.first) mirror(out);
  return out;
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
  Stack stack;
  std::int64_t a_row = 0, b_row = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const LoraFile::Weight* found = files[i].find(module);
    if (found == nullptr) continue;
    const std::int64_t rows = kind == StackRows::ranks ? found->lora_r : 1;
    a_row = found->a->shape[1] * found->lora_r / rows;
    b_row = found->b->shape[0] * found->lora_r / rows;
    add_adapter(stack, static_cast<std::int64_t>(i), *found, rows, most_rows(kind, device));
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
    const at::Tensor a = gram(stack.a, rows, columns), b = gram(stack.b, rows, columns);
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
    const at::Tensor products = gram(factor, rows, columns);
    const double* data = products.const_data_ptr<double>();
    for (std::size_t i = rows.first; i < rows.last; ++i) {
      for (std::size_t j = std::max(i, columns.first); j < columns.last; ++j)
        product[i * n + j] = data[stack.starts[i] * products.size(1) + stack.starts[j]];
    }
  });
  return product;
}

}  // namespace rocket
