#include "adapters/similarity.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace rocket {
namespace {

// Rows of one Gram tile: bounds its memory to this times the bank's ranks, and what is computed below the
// diagonal.
constexpr std::int64_t kTileRows = 256;

/// The adapters that change one module: their A stacked, and their B, transposed and stacked likewise.
struct Stack {
  std::vector<std::int64_t> adapters;  // places in the bank, ascending
  std::vector<std::int64_t> starts;    // [adapters + 1]: rows of each in both tensors
  std::vector<double> scales;
  at::Tensor a_RI, bt_RO;  // float64
};

Stack stack_module(const std::vector<LoraFile>& files, std::int64_t module, at::Device device) {
  Stack stack;
  std::vector<at::Tensor> a, bt;
  stack.starts.push_back(0);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const LoraFile::Weight* found = files[i].find(module);
    if (found == nullptr) continue;
    const LoraWeight weight = files[i].read(*found, at::kDouble, device);
    stack.adapters.push_back(static_cast<std::int64_t>(i));
    stack.starts.push_back(stack.starts.back() + weight.lora_r());
    stack.scales.push_back(weight.scale);
    a.push_back(weight.a_RI);
    bt.push_back(weight.b_OR.t());
  }
  if (!a.empty()) {
    stack.a_RI = at::cat(a);
    stack.bt_RO = at::cat(bt);
  }
  return stack;
}

/// <B_i A_i, B_j A_j> = tr((B_i^T B_j)(A_j A_i^T)) = sum of (A_i A_j^T) * (B_i^T B_j), from the tile's two
/// Gram matrices, whose rows begin with the tile's first adapter and whose columns do so too.
void add_tile_products(const Stack& stack, std::size_t first, std::size_t last, const at::Tensor& gram_a,
                       const at::Tensor& gram_b, std::vector<double>& product) {
  const std::size_t n = stack.adapters.size();
  const std::int64_t origin = stack.starts[first], columns = gram_a.size(1);
  const double* a = gram_a.const_data_ptr<double>();
  const double* b = gram_b.const_data_ptr<double>();
  at::parallel_for(
      static_cast<std::int64_t>(first), static_cast<std::int64_t>(last), 1, [&](auto from, auto to) {
        for (auto i = static_cast<std::size_t>(from); i < static_cast<std::size_t>(to); ++i) {
          for (std::size_t j = i; j < n; ++j) {
            double sum = 0;
            for (std::int64_t r = stack.starts[i] - origin; r < stack.starts[i + 1] - origin; ++r) {
              for (std::int64_t c = stack.starts[j] - origin; c < stack.starts[j + 1] - origin; ++c) {
                sum += a[r * columns + c] * b[r * columns + c];
              }
            }
            product[i * n + j] = stack.scales[i] * stack.scales[j] * sum;
          }
        }
      });
}

/// Upper triangle [n, n] of <delta W_i, delta W_j> over the adapters of a stack.
std::vector<double> delta_products(const Stack& stack) {
  const std::size_t n = stack.adapters.size();
  std::vector<double> product(n * n, 0);
  for (std::size_t first = 0; first < n;) {
    std::size_t last = first + 1;
    while (last < n && stack.starts[last + 1] - stack.starts[first] <= kTileRows) ++last;
    const std::int64_t row = stack.starts[first], rows = stack.starts[last] - row;
    const std::int64_t columns = stack.starts[n] - row;
    const auto gram = [&](const at::Tensor& x) {
      return at::mm(x.narrow(0, row, rows), x.narrow(0, row, columns).t()).cpu().contiguous();
    };
    add_tile_products(stack, first, last, gram(stack.a_RI), gram(stack.bt_RO), product);
    first = last;
  }
  return product;
}

/// Upper triangle [n, n] of the inner products of one factor, flattened.
std::vector<double> factor_products(const Stack& stack, const at::Tensor& stacked) {
  const auto n = static_cast<std::int64_t>(stack.adapters.size());
  const at::Tensor flat = stacked.reshape({n, -1});
  const at::Tensor gram = at::mm(flat, flat.t()).cpu().contiguous();
  const double* data = gram.const_data_ptr<double>();
  return {data, data + n * n};
}

double cosine(const std::vector<double>& product, std::size_t n, std::size_t i, std::size_t j) {
  const double norms = std::sqrt(product[i * n + i]) * std::sqrt(product[j * n + j]);
  if (!(norms > 0)) return 0;
  return i == j ? 1 : std::clamp(product[i * n + j] / norms, -1.0, 1.0);
}

/// [A, A], upper triangle in use.
class Sum {
 public:
  explicit Sum(std::size_t size) : size_(size), value_(size * size, 0) {}

  void add(const Stack& stack, const std::vector<double>& product, bool absolute) {
    const std::size_t n = stack.adapters.size();
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i; j < n; ++j) {
        const double c = cosine(product, n, i, j);
        at(static_cast<std::size_t>(stack.adapters[i]), static_cast<std::size_t>(stack.adapters[j])) +=
            absolute ? std::abs(c) : c;
      }
    }
  }

  double& at(std::size_t i, std::size_t j) { return value_[i * size_ + j]; }

  std::vector<double> mirrored() {
    for (std::size_t i = 0; i < size_; ++i) {
      for (std::size_t j = i + 1; j < size_; ++j) at(j, i) = at(i, j);
    }
    return value_;
  }

 private:
  std::size_t size_;
  std::vector<double> value_;
};

std::vector<LoraFile> open_all(const Bank& bank) {
  std::vector<LoraFile> files;
  for (const BankEntry& entry : bank.entries()) files.emplace_back(entry.folder, bank.modules());
  return files;
}

/// Of the two adapters' targets together.
double targets_of_both(const LoraFile& one, const LoraFile& other) {
  const auto shared = std::ranges::count_if(
      one.weights(), [&](const LoraFile::Weight& w) { return other.find(w.module) != nullptr; });
  return static_cast<double>(one.weights().size() + other.weights().size() -
                             static_cast<std::size_t>(shared));
}

void check_alike(const std::vector<LoraFile>& files) {
  const auto same = [](const LoraFile::Weight& a, const LoraFile::Weight& b) {
    return a.module == b.module && a.lora_r == b.lora_r;
  };
  for (const LoraFile& file : files) {
    if (!std::ranges::equal(file.weights(), files.front().weights(), same)) {
      fail_data(
          "adapters '{}' and '{}' differ in rank or targets, so their factors cannot be compared; use "
          "scoring.similarity: delta_w",
          files.front().name(), file.name());
    }
  }
}

std::vector<double> delta_w(const std::vector<LoraFile>& files, const Bank& bank) {
  Sum sum(files.size());
  for (std::size_t m = 0; m < bank.modules().size(); ++m) {
    const Stack stack = stack_module(files, static_cast<std::int64_t>(m), bank.device());
    if (!stack.adapters.empty()) sum.add(stack, delta_products(stack), false);
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (std::size_t j = i; j < files.size(); ++j) {
      sum.at(i, j) = i == j ? 1 : sum.at(i, j) / targets_of_both(files[i], files[j]);
    }
  }
  return sum.mirrored();
}

std::vector<double> by_factors(const std::vector<LoraFile>& files, const Bank& bank, bool released) {
  check_alike(files);
  Sum sum(files.size());
  for (const LoraFile::Weight& weight : files.front().weights()) {
    const Stack stack = stack_module(files, weight.module, bank.device());
    sum.add(stack, factor_products(stack, stack.a_RI), released);
    sum.add(stack, factor_products(stack, stack.bt_RO), released);
  }
  if (released) return sum.mirrored();
  const double matrices = 2.0 * static_cast<double>(files.front().weights().size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (std::size_t j = i; j < files.size(); ++j) sum.at(i, j) = i == j ? 1 : sum.at(i, j) / matrices;
  }
  return sum.mirrored();
}

}  // namespace

std::vector<double> similarity_matrix(const Bank& bank, SimilarityKind kind) {
  const std::vector<LoraFile> files = open_all(bank);
  if (files.empty()) return {};
  if (kind == SimilarityKind::delta_w) return delta_w(files, bank);
  return by_factors(files, bank, kind == SimilarityKind::released_code);
}

}  // namespace rocket
