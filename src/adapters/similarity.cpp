#include "adapters/similarity.h"

#include <algorithm>
#include <cmath>

#include "adapters/stack.h"
#include "base/error.h"

namespace rocket {
namespace {

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
  for (std::size_t i = 0; i < bank.entries().size(); ++i) files.push_back(bank.open(i));
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
    const Stack stack = stack_module(files, static_cast<std::int64_t>(m), StackRows::ranks, bank.device());
    if (stack.size() > 0) sum.add(stack, delta_products(stack), false);
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
    const Stack stack = stack_module(files, weight.module, StackRows::flattened, bank.device());
    sum.add(stack, factor_products(stack, stack.a), released);
    sum.add(stack, factor_products(stack, stack.b), released);
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
