#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "backend/backward.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/product.h"
#include "backend/threads.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

/// Logits of so many rows and ids at one time stay in the second cache. The ids of a chunk bound the sums
/// that make up a row's, so its size decides bits.
constexpr std::int64_t kRowsPerBlock = 240;
constexpr std::int64_t kIdsPerChunk = 32 * kPanel;

Squash squash_of(const HeadWeight& head) {
  return {static_cast<float>(head.scale), static_cast<float>(head.cap)};
}

/// Logits of the ids [first, first + count), [T, count].
void logits_of_chunk(const HeadWeight& head, const at::Tensor& hidden_TD, std::int64_t first,
                     std::int64_t count, float* logits, ProductScratch& scratch) {
  columns(head, hidden_TD, first, count, logits, scratch);
  if (head.changes_logits()) kernels().squash(logits, hidden_TD.size(0) * count, squash_of(head));
}

/// Calls see(row, first id, ids, their logits) for every chunk of the vocabulary of every row, a row's chunks
/// in order.
template <class See>
void for_each_chunk(const HeadWeight& head, const at::Tensor& hidden_TD, const See& see) {
  const std::int64_t rows = hidden_TD.size(0), vocabulary = head.outputs();
  on_even_pieces(rows, kRowsPerBlock, 1, [&](std::int64_t begin, std::int64_t count) {
    const c10::InferenceMode inference;
    const at::Tensor some_TD = hidden_TD.narrow(0, begin, count);
    std::vector<float> logits(static_cast<std::size_t>(count * std::min(kIdsPerChunk, vocabulary)));
    ProductScratch scratch;
    for (std::int64_t first = 0; first < vocabulary; first += kIdsPerChunk) {
      const std::int64_t ids = std::min(kIdsPerChunk, vocabulary - first);
      logits_of_chunk(head, some_TD, first, ids, logits.data(), scratch);
      for (std::int64_t i = 0; i < count; ++i) see(begin + i, first, ids, logits.data() + i * ids);
    }
  });
}

at::Tensor nll_of_chunks(const HeadWeight& head, const at::Tensor& hidden_TD, const at::Tensor& targets_T) {
  const std::int64_t rows = hidden_TD.size(0);
  std::vector<LogSumExp> sums(static_cast<std::size_t>(rows));
  std::vector<float> right(static_cast<std::size_t>(rows));
  const at::Tensor targets = targets_T.contiguous();
  const auto* target = targets.const_data_ptr<std::int64_t>();
  for_each_chunk(head, hidden_TD,
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

at::Tensor best_of_chunks(const HeadWeight& head, const at::Tensor& hidden_TD) {
  std::vector<Best> best(static_cast<std::size_t>(hidden_TD.size(0)));
  for_each_chunk(head, hidden_TD,
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

/// The gradient of a row's logits, in their place: softmax - one at the target. Of the products where the
/// head makes something else of these; takes `kept`.
void gradient_of_chunk(const HeadWeight& head, float* logits, std::int64_t ids, float log_sum,
                       std::int64_t target, std::vector<float>& kept) {
  if (head.changes_logits()) kept.assign(logits, logits + ids);
  kernels().probabilities(logits, ids, log_sum);
  if (target >= 0 && target < ids) logits[target] -= 1;
  if (head.changes_logits()) kernels().squash_backward(kept.data(), ids, squash_of(head), logits);
}

void nll_and_gradient(const HeadWeight& head, const NllRows& r, std::vector<float>& logits,
                      ProductScratch& scratch) {
  std::vector<LogSumExp> sums(static_cast<std::size_t>(r.rows));
  for_each_id_chunk(head, r, logits.data(), [&](std::int64_t first, std::int64_t ids, float* chunk) {
    logits_of_chunk(head, r.hidden_TD, first, ids, chunk, scratch);
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
  std::vector<float> kept;
  for_each_id_chunk(head, r, logits.data(), [&](std::int64_t first, std::int64_t ids, float* chunk) {
    for (std::int64_t i = 0; i < r.rows; ++i)
      gradient_of_chunk(head, chunk + i * ids, ids, sums[static_cast<std::size_t>(i)].most,
                        r.target[i] - first, kept);
    add_rows(head, chunk, r.rows, first, ids, r.gradient, first > 0, scratch);
  });
}

/// {nll [T], gradient [T, D]}, float32.
std::array<at::Tensor, 2> nll_and_gradient_of_rows(const HeadWeight& head, const at::Tensor& hidden_TD,
                                                   const at::Tensor& targets_T) {
  const std::int64_t rows = hidden_TD.size(0), width = head.inputs();
  const at::Tensor targets = targets_T.contiguous();
  std::array<at::Tensor, 2> result{at::empty({rows}, at::kFloat), at::empty({rows, width}, at::kFloat)};
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  float *nll = result[0].mutable_data_ptr<float>(), *gradient = result[1].mutable_data_ptr<float>();
  on_even_pieces(rows, rows_with_logits(head.outputs()), 1, [&](std::int64_t begin, std::int64_t count) {
    const c10::InferenceMode inference;
    std::vector<float> logits(static_cast<std::size_t>(count * head.outputs()));
    ProductScratch scratch;
    nll_and_gradient(
        head,
        {hidden_TD.narrow(0, begin, count), target + begin, count, nll + begin, gradient + begin * width},
        logits, scratch);
  });
  return result;
}

at::Tensor in_type_of(const HeadWeight& head, const at::Tensor& hidden_TD) {
  return hidden_TD.to(head.values_OI.scalar_type());
}

}  // namespace

/// Sums are taken in float32, of bfloat16 values where that is the weight's type, which is then packed in any
/// case.
LinearWeight CpuBackend::prepare_head(at::Tensor weight_VD, bool keep) const {
  const bool narrow = weight_VD.scalar_type() == at::kBFloat16;
  const bool pack_it = narrow || (keep && kernels_multiply_faster(weight_VD.scalar_type()));
  return packed_weight(std::move(weight_VD), pack_it);
}

at::Tensor CpuBackend::logits(const HeadWeight& head, const at::Tensor& hidden_TD) const {
  if (needs_gradient(hidden_TD)) return TorchBackend::logits(head, hidden_TD);
  at::Tensor logits_TV = sums(head, in_type_of(head, hidden_TD));
  if (head.changes_logits())
    kernels().squash(logits_TV.mutable_data_ptr<float>(), logits_TV.numel(), squash_of(head));
  return logits_TV;
}

at::Tensor CpuBackend::best(const HeadWeight& head, const at::Tensor& hidden_TD) const {
  return best_of_chunks(head, in_type_of(head, hidden_TD));
}

std::array<at::Tensor, 2> CpuBackend::nll_and_gradient(const HeadWeight& head, const at::Tensor& hidden_TD,
                                                       const at::Tensor& targets_T, bool wanted) const {
  const at::Tensor hidden = in_type_of(head, hidden_TD);
  if (!wanted) return {nll_of_chunks(head, hidden, targets_T), at::Tensor()};
  return nll_and_gradient_of_rows(head, hidden, targets_T);
}

}  // namespace rocket
