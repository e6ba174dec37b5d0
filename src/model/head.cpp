#include "model/head.h"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "model/backward.h"
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
  on_even_pieces(rows, kRowsPerBlock, 1, [&](std::int64_t begin, std::int64_t count) {
    const c10::InferenceMode inference;
    const at::Tensor some_TD = hidden_TD.narrow(0, begin, count);
    std::vector<float> logits(static_cast<std::size_t>(count * std::min(kIdsPerChunk, vocabulary)));
    ProductScratch scratch;
    for (std::int64_t first = 0; first < vocabulary; first += kIdsPerChunk) {
      const std::int64_t ids = std::min(kIdsPerChunk, vocabulary - first);
      weight.columns(some_TD, first, ids, logits.data(), scratch);
      for (std::int64_t i = 0; i < count; ++i) see(begin + i, first, ids, logits.data() + i * ids);
    }
  });
}

at::Tensor nll_on_kernels(const LinearWeight& weight, const at::Tensor& hidden_TD,
                          const at::Tensor& targets_T) {
  const std::int64_t rows = hidden_TD.size(0);
  std::vector<LogSumExp> sums(static_cast<std::size_t>(rows));
  std::vector<float> right(static_cast<std::size_t>(rows));
  const at::Tensor targets = targets_T.contiguous();
  const auto* target = targets.const_data_ptr<std::int64_t>();
  for_each_chunk(weight, hidden_TD,
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
  for_each_chunk(weight, hidden_TD,
                 [&](std::int64_t row, std::int64_t first, std::int64_t ids, const float* logits) {
                   kernels().find_best(logits, ids, first, best[static_cast<std::size_t>(row)]);
                 });
  at::Tensor ids_T = at::empty({hidden_TD.size(0)}, at::kLong);
  std::ranges::transform(best, ids_T.mutable_data_ptr<std::int64_t>(), &Best::index);
  return ids_T;
}

/// Rows whose logits over the whole vocabulary exist at one time, on one thread, for the gradient.
std::int64_t rows_with_logits(std::int64_t vocabulary) {
  constexpr std::int64_t kLogits = std::int64_t{1} << 23, kLeast = 24;
  return std::clamp(kLogits / vocabulary, kLeast, kRowsPerBlock);
}

/// nll and its gradient with respect to the row, (softmax - one at the target) W, of some rows on one thread.
struct NllRows {
  at::Tensor hidden_TD;
  const std::int64_t* target = nullptr;  // [rows]
  std::int64_t rows = 0;
  float *nll = nullptr, *gradient = nullptr;  // [rows], [rows, D]
};

/// The logits of all rows, chunk after chunk: chunk c stands at rows * first id, [rows, ids].
template <class Work>
void for_each_id_chunk(const LinearWeight& weight, const NllRows& r, float* logits, const Work& work) {
  for (std::int64_t first = 0; first < weight.outputs(); first += kIdsPerChunk)
    work(first, std::min(kIdsPerChunk, weight.outputs() - first), logits + r.rows * first);
}

void nll_and_gradient(const LinearWeight& weight, const NllRows& r, std::vector<float>& logits,
                      ProductScratch& scratch) {
  std::vector<LogSumExp> sums(static_cast<std::size_t>(r.rows));
  for_each_id_chunk(weight, r, logits.data(), [&](std::int64_t first, std::int64_t ids, float* chunk) {
    weight.columns(r.hidden_TD, first, ids, chunk, scratch);
    for (std::int64_t i = 0; i < r.rows; ++i) {
      kernels().add_logits(chunk + i * ids, ids, sums[static_cast<std::size_t>(i)]);
      if (r.target[i] >= first && r.target[i] < first + ids) r.nll[i] = chunk[i * ids + r.target[i] - first];
    }
  });
  for (std::int64_t i = 0; i < r.rows; ++i) {
    LogSumExp& s = sums[static_cast<std::size_t>(i)];
    r.nll[i] = std::log(s.sum) + (s.most - r.nll[i]);
    s.most += std::log(s.sum);
  }
  for_each_id_chunk(weight, r, logits.data(), [&](std::int64_t first, std::int64_t ids, float* chunk) {
    for (std::int64_t i = 0; i < r.rows; ++i) {
      kernels().probabilities(chunk + i * ids, ids, sums[static_cast<std::size_t>(i)].most);
      if (r.target[i] >= first && r.target[i] < first + ids) chunk[i * ids + r.target[i] - first] -= 1;
    }
    weight.add_rows(chunk, r.rows, first, ids, r.gradient, first > 0, scratch);
  });
}

/// {nll [T], gradient [T, D]}, float32.
std::array<at::Tensor, 2> nll_and_gradient_on_kernels(const LinearWeight& weight, const at::Tensor& hidden_TD,
                                                      const at::Tensor& targets_T) {
  const std::int64_t rows = hidden_TD.size(0), width = weight.inputs();
  const at::Tensor targets = targets_T.contiguous();
  std::array<at::Tensor, 2> result{at::empty({rows}, at::kFloat), at::empty({rows, width}, at::kFloat)};
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  float *nll = result[0].mutable_data_ptr<float>(), *gradient = result[1].mutable_data_ptr<float>();
  on_even_pieces(rows, rows_with_logits(weight.outputs()), 1, [&](std::int64_t begin, std::int64_t count) {
    const c10::InferenceMode inference;
    std::vector<float> logits(static_cast<std::size_t>(count * weight.outputs()));
    ProductScratch scratch;
    nll_and_gradient(
        weight,
        {hidden_TD.narrow(0, begin, count), target + begin, count, nll + begin, gradient + begin * width},
        logits, scratch);
  });
  return result;
}

/// Gradient of each row's nll with respect to its own row: (softmax - one at the target) W. Takes over
/// `log_p`.
at::Tensor nll_gradient(at::Tensor log_p_TV, const at::Tensor& targets_T1, const at::Tensor& head_VD) {
  at::Tensor p_TV = log_p_TV.exp_();
  p_TV.scatter_add_(1, targets_T1, at::full_like(targets_T1, -1, p_TV.options()));
  return at::mm(p_TV.to(head_VD.scalar_type()), head_VD).to(at::kFloat);
}

}  // namespace

Head::Head(at::Tensor weight_VD, bool packed) {
  const bool narrow = weight_VD.scalar_type() == at::kBFloat16;
  const bool other_type = weight_VD.device().is_cpu() && !narrow;
  weight_ = LinearWeight(other_type ? weight_VD.to(at::kFloat) : std::move(weight_VD), packed || narrow);
}

bool Head::on_kernels() const {
  return weight_.tensor().device().is_cpu();
}

at::Tensor Head::in_own_type(const at::Tensor& hidden_TD) const {
  return hidden_TD.to(weight_.tensor().scalar_type());
}

at::Tensor Head::logits(const at::Tensor& hidden_TD) const {
  const at::Tensor hidden = in_own_type(hidden_TD);
  if (on_kernels() && !needs_gradient(hidden)) return weight_.sums(hidden);
  return at::mm(hidden, weight_.tensor().t()).to(at::kFloat);
}

at::Tensor Head::nll(const at::Tensor& hidden_TD, const at::Tensor& targets_T) const {
  if (!needs_gradient(hidden_TD)) {
    return on_kernels() ? nll_on_kernels(weight_, in_own_type(hidden_TD), targets_T)
                        : nll_through_libtorch(hidden_TD, targets_T, false)[0];
  }
  const at::Tensor hidden = hidden_TD.detach();
  const auto [nll_T, gradient_TD] = on_kernels()
                                        ? nll_and_gradient_on_kernels(weight_, in_own_type(hidden), targets_T)
                                        : nll_through_libtorch(hidden, targets_T, true);
  std::array<at::Tensor, 1> out{nll_T};
  // The gradient is known at once: no logits are kept for the backward pass.
  const auto type = hidden.scalar_type();
  differentiate(std::span(&hidden_TD, 1), out, [gradient_TD, type](const Gradients& d_T) {
    return Gradients{(gradient_TD * d_T[0].unsqueeze(1)).to(type)};
  });
  return out[0];
}

std::array<at::Tensor, 2> Head::nll_through_libtorch(const at::Tensor& hidden_TD, const at::Tensor& targets_T,
                                                     bool differentiable) const {
  const c10::NoGradGuard no_grad;
  const std::int64_t chunk = std::max<std::int64_t>(1, kLogitsPerChunk / weight_.outputs());
  std::vector<at::Tensor> values{at::empty({0}, hidden_TD.options().dtype(at::kFloat))}, gradients;
  for (std::int64_t begin = 0; begin < hidden_TD.size(0); begin += chunk) {
    const std::int64_t rows = std::min(chunk, hidden_TD.size(0) - begin);
    const at::Tensor targets_T1 = targets_T.narrow(0, begin, rows).unsqueeze(1);
    // log_softmax gives one thread a whole row: its sum does not depend on the number of threads.
    at::Tensor log_p_TV = at::log_softmax(logits(hidden_TD.narrow(0, begin, rows)), -1);
    values.push_back(-log_p_TV.gather(1, targets_T1).squeeze(1));
    if (differentiable) gradients.push_back(nll_gradient(std::move(log_p_TV), targets_T1, weight_.tensor()));
  }
  return {at::cat(values), gradients.empty() ? at::zeros_like(hidden_TD, at::kFloat) : at::cat(gradients)};
}

at::Tensor Head::best(const at::Tensor& hidden_TD) const {
  if (on_kernels()) return best_on_kernels(weight_, in_own_type(hidden_TD));
  return at::argmax(logits(hidden_TD), -1).cpu();
}

}  // namespace rocket
