#include "model/head.h"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "model/threads.h"

namespace rocket {
namespace {

/// Elements of logits that exist at one time where LibTorch computes them.
constexpr std::int64_t kLogitsPerChunk = std::int64_t{1} << 22;
/// Logits of so many rows and ids at one time stay in the second cache. The ids of a chunk bound the sums
/// that make up a row's, so its size decides bits.
constexpr std::int64_t kRowsPerBlock = 240;
constexpr std::int64_t kIdsPerChunk = 32 * kPanel;

/// Calls see(row, first id, ids, their logits) for every chunk of the vocabulary of every row, a row's chunks
/// in order.
template <class See>
void for_each_chunk(const LinearWeight& weight, const at::Tensor& hidden_TD, const See& see) {
  const std::int64_t rows = hidden_TD.size(0), vocabulary = weight.outputs();
  const float* hidden = hidden_TD.const_data_ptr<float>();
  const std::int64_t wanted =
      std::max((rows + kRowsPerBlock - 1) / kRowsPerBlock, std::min(threads_here(), rows));
  on_threads(wanted, [&](std::int64_t b) {
    const c10::InferenceMode inference;
    const std::int64_t begin = rows * b / wanted, count = rows * (b + 1) / wanted - begin;
    std::vector<float> logits(static_cast<std::size_t>(count * std::min(kIdsPerChunk, vocabulary)));
    at::Tensor scratch;
    for (std::int64_t first = 0; first < vocabulary; first += kIdsPerChunk) {
      const std::int64_t ids = std::min(kIdsPerChunk, vocabulary - first);
      weight.columns(hidden + begin * weight.inputs(), count, first, ids, logits.data(), scratch);
      for (std::int64_t i = 0; i < count; ++i) see(begin + i, first, ids, logits.data() + i * ids);
    }
  });
}

at::Tensor plain_rows(const at::Tensor& hidden_TD) {
  return hidden_TD.to(at::kFloat).contiguous();
}

at::Tensor nll_on_kernels(const LinearWeight& weight, const at::Tensor& hidden_TD,
                          const at::Tensor& targets_T) {
  const std::int64_t rows = hidden_TD.size(0);
  std::vector<LogSumExp> sums(static_cast<std::size_t>(rows));
  std::vector<float> right(static_cast<std::size_t>(rows));
  const at::Tensor targets = targets_T.contiguous();
  const auto* target = targets.const_data_ptr<std::int64_t>();
  for_each_chunk(weight, plain_rows(hidden_TD),
                 [&](std::int64_t row, std::int64_t first, std::int64_t ids, const float* logits) {
                   const auto r = static_cast<std::size_t>(row);
                   kernels().add_logits(logits, ids, sums[r]);
                   if (target[row] >= first && target[row] < first + ids)
                     right[r] = logits[target[row] - first];
                 });
  at::Tensor nll_T = at::empty({rows}, at::kFloat);
  float* out = nll_T.mutable_data_ptr<float>();
  for (std::size_t r = 0; r < sums.size(); ++r) out[r] = std::log(sums[r].sum) + (sums[r].most - right[r]);
  return nll_T;
}

at::Tensor best_on_kernels(const LinearWeight& weight, const at::Tensor& hidden_TD) {
  std::vector<Best> best(static_cast<std::size_t>(hidden_TD.size(0)));
  for_each_chunk(weight, plain_rows(hidden_TD),
                 [&](std::int64_t row, std::int64_t first, std::int64_t ids, const float* logits) {
                   kernels().find_best(logits, ids, first, best[static_cast<std::size_t>(row)]);
                 });
  at::Tensor ids_T = at::empty({hidden_TD.size(0)}, at::kLong);
  std::ranges::transform(best, ids_T.mutable_data_ptr<std::int64_t>(), &Best::index);
  return ids_T;
}

/// Gradient of each row's nll with respect to its own row: (softmax - one at the target) W. Takes over
/// `log_p`.
at::Tensor nll_gradient(at::Tensor log_p_TV, const at::Tensor& targets_T1, const at::Tensor& head_VD) {
  at::Tensor p_TV = log_p_TV.exp_();
  p_TV.scatter_add_(1, targets_T1, at::full_like(targets_T1, -1, p_TV.options()));
  return at::mm(p_TV.to(head_VD.scalar_type()), head_VD).to(at::kFloat);
}

}  // namespace

Head::Head(at::Tensor weight_VD, bool packed) : weight_VD_(std::move(weight_VD)) {
  if (weight_VD_.device().is_cpu()) float_ = LinearWeight(weight_VD_.to(at::kFloat), packed);
}

at::Tensor Head::logits(const at::Tensor& hidden_TD) const {
  if (float_.tensor().defined()) return float_.times(hidden_TD.to(at::kFloat));
  return at::mm(hidden_TD, weight_VD_.t()).to(at::kFloat);
}

at::Tensor Head::nll(const at::Tensor& hidden_TD, const at::Tensor& targets_T) const {
  const bool differentiable = c10::GradMode::is_enabled() && hidden_TD.requires_grad();
  if (!differentiable && float_.tensor().defined()) return nll_on_kernels(float_, hidden_TD, targets_T);
  return nll_through_libtorch(hidden_TD, targets_T, differentiable);
}

at::Tensor Head::nll_through_libtorch(const at::Tensor& hidden_TD, const at::Tensor& targets_T,
                                      bool differentiable) const {
  const std::int64_t chunk = std::max<std::int64_t>(1, kLogitsPerChunk / weight_VD_.size(0));
  std::vector<at::Tensor> values, gradients;
  for (std::int64_t begin = 0; begin < hidden_TD.size(0); begin += chunk) {
    const c10::NoGradGuard no_grad;
    const std::int64_t rows = std::min(chunk, hidden_TD.size(0) - begin);
    const at::Tensor targets_T1 = targets_T.narrow(0, begin, rows).unsqueeze(1);
    // log_softmax gives one thread a whole row: its sum does not depend on the number of threads.
    at::Tensor log_p_TV = at::log_softmax(logits(hidden_TD.narrow(0, begin, rows)), -1);
    values.push_back(-log_p_TV.gather(1, targets_T1).squeeze(1));
    if (differentiable) gradients.push_back(nll_gradient(std::move(log_p_TV), targets_T1, weight_VD_));
  }
  const at::Tensor nll_T =
      values.empty() ? at::zeros({0}, hidden_TD.options().dtype(at::kFloat)) : at::cat(values);
  if (!differentiable || values.empty()) return nll_T;
  // A term of value zero carries the gradient, so that no logits are kept for the backward pass.
  const at::Tensor carrier_T = (hidden_TD.to(at::kFloat) * at::cat(gradients)).sum(-1);
  return nll_T + (carrier_T - carrier_T.detach());
}

at::Tensor Head::best(const at::Tensor& hidden_TD) const {
  if (float_.tensor().defined()) return best_on_kernels(float_, hidden_TD);
  return at::argmax(logits(hidden_TD), -1).cpu();
}

}  // namespace rocket
