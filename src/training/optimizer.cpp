#include "training/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

namespace rocket {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
constexpr std::int64_t kNormChunk = 1 << 16;

double sum_of_squares(const float* values, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i)
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

}  // namespace

AdamW::AdamW(const Mixture& mixture, const at::Tensor& gradient_P, const AdamWOptions& options)
    : first_P_(at::zeros_like(gradient_P)), second_P_(at::zeros_like(gradient_P)), groups_(2) {
  groups_[0].weight_decay = options.weight_decay;
  for (const ParameterRange& range : mixture.ranges()) {
    if (options.router_only && !range.router) continue;
    Group& group = groups_[range.router ? 1 : 0];
    const auto view = [&](const at::Tensor& whole_P) { return whole_P.narrow(0, range.offset, range.count); };
    group.parameters.push_back(view(mixture.flat()));
    group.gradients.push_back(view(gradient_P));
    group.first.push_back(view(first_P_));
    group.second.push_back(view(second_P_));
  }
}

void AdamW::update(double learning_rate, std::int64_t step) {
  const at::NoGradGuard no_grad;
  const at::Tensor step_number = at::full({}, static_cast<double>(step), first_P_.options());
  for (Group& group : groups_) {
    if (group.parameters.empty()) continue;
    const std::vector<at::Tensor> steps(group.parameters.size(), step_number);
    at::_fused_adamw_(group.parameters, group.gradients, group.first, group.second, /*max_exp_avg_sqs=*/{},
                      steps, learning_rate, kBeta1, kBeta2, group.weight_decay, kEpsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
  }
}

double l2_norm(const at::Tensor& values_P) {
  if (!values_P.is_cpu()) {
    return at::linalg_vector_norm(values_P, 2, at::OptionalIntArrayRef(), false, at::kDouble).item<double>();
  }
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
