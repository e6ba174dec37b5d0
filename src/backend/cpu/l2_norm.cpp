#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/cpu_backend.h"

namespace rocket {
namespace {

constexpr std::int64_t kNormChunk = 1 << 16;

double sum_of_squares(const float* values, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i)
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

}  // namespace

double CpuBackend::l2_norm(const at::Tensor& values_P) const {
  const float* values = values_P.const_data_ptr<float>();
  const std::int64_t count = values_P.numel(), chunks = (count + kNormChunk - 1) / kNormChunk;
  std::vector<double> sums(static_cast<std::size_t>(chunks));
  at::parallel_for(0, chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      const std::int64_t first = c * kNormChunk;
      sums[static_cast<std::size_t>(c)] = sum_of_squares(values + first, std::min(kNormChunk, count - first));
    }
  });
  double sum = 0;
  for (const double s : sums) sum += s;
  return std::sqrt(sum);
}

}  // namespace rocket
