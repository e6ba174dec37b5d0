// What CudaBackend asks of flash attention: lengths, windows, shared key heads, gradients, ranges of a cache.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <vector>

#include "backend/backend.h"
#include "device/counts.h"
#include "device/host_view.h"

namespace rocket {
namespace {

constexpr std::int64_t kHeads = 6, kKeyHeads = 2, kDim = 16;
const at::Device kDevice(emulated::kEmulated, 0);

/// Attention of one sequence in float64, with every pair written out: q [M, H, K] are the last of its
/// positions, k and v [N, G, K].
at::Tensor expected_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       const AttentionRule& mask) {
  const std::int64_t rows = q.size(0), keys = k.size(0);
  const auto heads = [&](const at::Tensor& x) {
    return x.repeat_interleave(kHeads / x.size(1), 1).transpose(0, 1);
  };
  const double scale = mask.scale > 0 ? mask.scale : 1 / std::sqrt(static_cast<double>(kDim));
  at::Tensor scores = at::matmul(heads(q), heads(k).transpose(1, 2)) * scale;
  if (mask.causal) {
    const at::Tensor at_row = at::arange(keys - rows, keys).unsqueeze(1),
                     at_key = at::arange(keys).unsqueeze(0);
    at::Tensor hidden = at_key > at_row;
    if (mask.window > 0) hidden = hidden.logical_or(at_key <= at_row - mask.window);
    scores = scores.masked_fill(hidden, -INFINITY);
  }
  return at::matmul(at::softmax(scores, -1), heads(v)).transpose(0, 1).flatten(1);
}

PackedRows rows_of(const std::vector<std::int64_t>& lengths) {
  std::vector<std::vector<TokenId>> texts;
  for (const std::int64_t length : lengths) texts.emplace_back(static_cast<std::size_t>(length), 1);
  return pack(texts, kDevice);
}

at::Tensor drawn(std::int64_t rows, std::int64_t heads) {
  return at::randn({rows, heads, kDim}).to(at::kBFloat16);
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.cpu().to(at::kDouble) - b.cpu().to(at::kDouble)).abs().max().item<double>();
}

class Flash : public testing::TestWithParam<AttentionRule> {
 protected:
  void SetUp() override { at::manual_seed(5); }
  const Backend& backend = backend_for(kDevice, at::kBFloat16);
};

TEST_P(Flash, TakesAllSequencesInOneLaunchAndHasTheirGradients) {
  const PackedRows rows = rows_of({7, 1, 16, 3});
  const at::Tensor q = drawn(rows.tokens(), kHeads), k = drawn(rows.tokens(), kKeyHeads),
                   v = drawn(rows.tokens(), kKeyHeads), weight = drawn(rows.tokens(), kHeads).flatten(1);
  const auto leaf = [](const at::Tensor& x) { return x.detach().requires_grad_(true); };
  const at::Tensor dq = leaf(q.to(kDevice)), dk = leaf(k.to(kDevice)), dv = leaf(v.to(kDevice));
  const AttentionRows attention_rows(rows);
  (void)attention_rows.starts();
  emulated::forget_counts();
  const at::Tensor found = backend.attend(attention_rows, dq, dk, dv, GetParam());
  EXPECT_EQ(emulated::counted_in_all().launches, 1);
  EXPECT_EQ(emulated::counted_in_all().waits, 0);
  (found * weight.to(kDevice)).sum().backward();

  const at::Tensor eq = leaf(q.to(at::kDouble)), ek = leaf(k.to(at::kDouble)), ev = leaf(v.to(at::kDouble));
  std::vector<at::Tensor> all;
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    const auto part = [&](const at::Tensor& x) { return x.narrow(0, rows.starts[s], rows.length(s)); };
    all.push_back(expected_of(part(eq), part(ek), part(ev), GetParam()));
  }
  const at::Tensor expected = at::cat(all);
  (expected * weight.to(at::kDouble)).sum().backward();
  EXPECT_LT(difference(found, expected), 0.02);
  EXPECT_LT(difference(dq.grad(), eq.grad()), 0.05);
  EXPECT_LT(difference(dk.grad(), ek.grad()), 0.05);
  EXPECT_LT(difference(dv.grad(), ev.grad()), 0.05);
}

/// Ranges that do not rise in the order of the rows, pieces of any length, and forks of what the same forward
/// computes.
TEST_P(Flash, LooksAtRangesOfACache) {
  if (!GetParam().causal) GTEST_SKIP() << "caches are of generations";
  const c10::InferenceMode inference;
  const auto cache = backend.make_cache({1, kKeyHeads, kDim, at::kBFloat16, kDevice, 40});
  std::vector<at::Tensor> q, k, v;
  for (int s = 0; s < 4; ++s) {
    q.push_back(drawn(10, kHeads));
    k.push_back(drawn(10, kKeyHeads));
    v.push_back(drawn(10, kKeyHeads));
  }
  for (auto* x : {&k, &v}) (*x)[3].narrow(0, 0, 4).copy_((*x)[2].narrow(0, 0, 4));
  std::vector<std::int64_t> length(4, 0);
  const auto go_on = [&](const std::vector<std::int64_t>& sequences, const std::vector<std::int64_t>& fresh) {
    PackedRows rows = rows_of(fresh);
    rows.sequences = sequences;
    std::vector<at::Tensor> parts[3];
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const auto s = static_cast<std::size_t>(sequences[i]);
      parts[0].push_back(q[s].narrow(0, length[s], fresh[i]));
      parts[1].push_back(k[s].narrow(0, length[s], fresh[i]));
      parts[2].push_back(v[s].narrow(0, length[s], fresh[i]));
    }
    const at::Tensor dq = at::cat(parts[0]).to(kDevice), dk = at::cat(parts[1]).to(kDevice),
                     dv = at::cat(parts[2]).to(kDevice);
    emulated::forget_counts();
    cache->arrange(rows);
    const auto before = emulated::counted_in_all();
    const at::Tensor found = cache->attend(0, dq, dk, dv, GetParam());
    EXPECT_EQ(before.waits, 0);
    EXPECT_LE(emulated::counted_in_all().launches - before.launches, 7) << "however many sequences";
    cache->advance(rows);
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const auto s = static_cast<std::size_t>(sequences[i]);
      const auto seen = [&](const at::Tensor& x) {
        return x.narrow(0, 0, length[s] + fresh[i]).to(at::kDouble);
      };
      const at::Tensor expected =
          expected_of(parts[0][i].to(at::kDouble), seen(k[s]), seen(v[s]), GetParam());
      EXPECT_LT(difference(found.narrow(0, rows.starts[i], fresh[i]), expected), 0.02) << "sequence " << s;
      length[s] += fresh[i];
    }
  };
  cache->open(0, 10);
  cache->open(1, 10);
  go_on({1, 0}, {4, 1});
  cache->open(2, 10);
  cache->fork(2, 3, 4, 10);
  length[3] = 4;
  go_on({3, 1, 2, 0}, {2, 1, 6, 3});
  cache->close(0);
  cache->open(0, 10);
  length[0] = 0;
  go_on({0, 2, 3}, {10, 4, 1});
  go_on({3, 1}, {1, 5});
}

INSTANTIATE_TEST_SUITE_P(Masks, Flash,
                         testing::Values(AttentionRule{.causal = false}, AttentionRule{},
                                         AttentionRule{.window = 3}, AttentionRule{.window = 100},
                                         AttentionRule{.window = 3, .scale = 0.6}));

}  // namespace
}  // namespace rocket
