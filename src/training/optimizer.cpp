#include "training/optimizer.h"

#include <ATen/core/grad_mode.h>

namespace rocket {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;

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

}  // namespace rocket
