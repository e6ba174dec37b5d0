// The emulated device's attention against LibTorch's on the CPU, text by text and with plain masks.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "device/counts.h"
#include "model/device.h"

namespace rocket {
namespace {

using ::testing::HasSubstr;

at::Device device() {
  return choose_device("emulated", 0);
}

double distance(const at::Tensor& found, const at::Tensor& expected) {
  return (found.cpu().to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
}

/// On bfloat16's grid, so that both sides read the same values.
at::Tensor drawn(at::IntArrayRef shape) {
  return at::randn(shape).to(at::kBFloat16).to(at::kFloat);
}

struct Case {
  std::vector<std::int64_t> q_lengths, k_lengths;
  std::int64_t heads = 4, key_heads = 2;
  bool causal = true;
  std::optional<std::int64_t> left;  // of a window
};

at::Tensor cumulative(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> sums{0};
  for (const std::int64_t length : lengths) sums.push_back(sums.back() + length);
  return at::tensor(sums, at::kInt);
}

/// [T, H, K] of all texts, through LibTorch's attention on the CPU with a mask that says all.
at::Tensor expected_of(const Case& c, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  std::vector<at::Tensor> all;
  std::int64_t q_first = 0, k_first = 0;
  for (std::size_t i = 0; i < c.q_lengths.size(); ++i) {
    const std::int64_t rows = c.q_lengths[i], keys = c.k_lengths[i];
    at::Tensor seen = at::ones({rows, keys}, at::kBool);
    if (c.causal) seen = seen.tril(keys - rows);
    if (c.left) seen = seen.triu(keys - rows - *c.left);
    const auto heads = [&](const at::Tensor& x, std::int64_t first, std::int64_t count) {
      const at::Tensor some = x.narrow(0, first, count).transpose(0, 1).unsqueeze(0);
      return some.repeat_interleave(c.heads / some.size(1), 1);
    };
    all.push_back(at::scaled_dot_product_attention(heads(q, q_first, rows), heads(k, k_first, keys),
                                                   heads(v, k_first, keys), seen)
                      .squeeze(0)
                      .transpose(0, 1));
    q_first += rows;
    k_first += keys;
  }
  return at::cat(all);
}

std::int64_t sum_of(const std::vector<std::int64_t>& values) {
  return cumulative(values).select(0, -1).item<std::int64_t>();
}

class FlashAttention : public ::testing::TestWithParam<Case> {};

TEST_P(FlashAttention, AttendsAndDifferentiatesAsPlainAttention) {
  at::manual_seed(2);
  const Case& c = GetParam();
  const std::int64_t dim = 16, longest_q = *std::ranges::max_element(c.q_lengths),
                     longest_k = *std::ranges::max_element(c.k_lengths);
  std::vector<at::Tensor> leaves{drawn({sum_of(c.q_lengths), c.heads, dim}),
                                 drawn({sum_of(c.k_lengths), c.key_heads, dim}),
                                 drawn({sum_of(c.k_lengths), c.key_heads, dim})};
  const at::Tensor weight = drawn({sum_of(c.q_lengths), c.heads, dim});
  std::vector<at::Tensor> on_device;
  for (at::Tensor& leaf : leaves) {
    on_device.push_back(leaf.to(device(), at::kBFloat16).requires_grad_(true));
    leaf.requires_grad_(true);
  }
  const at::Tensor expected = expected_of(c, leaves[0], leaves[1], leaves[2]);
  emulated::forget_counts();
  const at::Tensor found = std::get<0>(at::_flash_attention_forward(
      on_device[0], on_device[1], on_device[2], cumulative(c.q_lengths).to(device()),
      cumulative(c.k_lengths).to(device()), longest_q, longest_k, 0.0, c.causal, false, std::nullopt, c.left,
      std::nullopt));
  EXPECT_EQ(emulated::counted_in_all().launched["_flash_attention_forward"], 1);
  EXPECT_LT(distance(found, expected), 0.02) << "eight bits";
  (expected * weight).sum().backward();
  (found.to(at::kFloat) * weight.to(device())).sum().backward();
  for (std::size_t i = 0; i < leaves.size(); ++i)
    EXPECT_LT(distance(on_device[i].grad(), leaves[i].grad()),
              0.05 * leaves[i].grad().abs().max().item<double>())
        << i;
}

INSTANTIATE_TEST_SUITE_P(Cases, FlashAttention,
                         ::testing::Values(Case{{5, 1, 9}, {5, 1, 9}},
                                           Case{{5, 1, 9}, {5, 1, 9}, 4, 2, true, 3},
                                           Case{{1, 2, 1}, {7, 9, 1}}, Case{{4, 6}, {4, 6}, 4, 4, false},
                                           Case{{1, 3}, {8, 12}, 4, 1, true, 2}));

/// A cache of pages of one text each: only the first `used` keys of each count.
TEST(FlashAttentionOfACache, ReadsAsManyKeysAsAreUsed) {
  at::manual_seed(3);
  const std::vector<std::int64_t> used{3, 8, 1};
  const at::Tensor q = drawn({3, 4, 16}), k = drawn({3, 8, 2, 16}), v = drawn({3, 8, 2, 16});
  const auto on_device = [](const at::Tensor& x) { return x.to(device(), at::kBFloat16); };
  const at::Tensor starts = at::tensor({0, 8, 16, 24}, at::kInt), rows = at::tensor({0, 1, 2, 3}, at::kInt);
  const at::Tensor found = std::get<0>(at::_flash_attention_forward(
      on_device(q), on_device(k).flatten(0, 1), on_device(v).flatten(0, 1), rows.to(device()),
      starts.to(device()), 1, 8, 0.0, true, false, std::nullopt, std::nullopt, std::nullopt,
      at::tensor(used, at::kInt).to(device())));
  for (std::int64_t i = 0; i < 3; ++i) {
    const std::int64_t keys = used[static_cast<std::size_t>(i)];
    const Case one{{1}, {keys}};
    EXPECT_LT(distance(found.narrow(0, i, 1),
                       expected_of(one, q.narrow(0, i, 1), k[i].narrow(0, 0, keys), v[i].narrow(0, 0, keys))),
              0.02)
        << i;
  }
}

TEST(FlashAttentionOfACache, RefusesWhatAGpuRefuses) {
  const at::Tensor q = at::randn({3, 4, 16}).to(device()), none = at::tensor({0, 3}, at::kInt).to(device());
  const auto attend = [&](const at::Tensor& x, const at::Tensor& starts, std::int64_t longest) {
    try {
      at::_flash_attention_forward(x, x, x, starts, starts, longest, longest, 0.0, true, false);
    } catch (const c10::Error& e) {
      return std::string(e.what_without_backtrace());
    }
    return std::string("accepted");
  };
  const at::Tensor narrow = q.to(at::kBFloat16);
  EXPECT_EQ(attend(narrow, none, 3), "accepted");
  EXPECT_THAT(attend(q, none, 3), HasSubstr("only float16 and bfloat16"));
  EXPECT_THAT(attend(narrow, none, 2), HasSubstr("a length of 3 where the longest is said to be 2"));
  EXPECT_THAT(attend(narrow, none.to(at::kLong), 3), HasSubstr("int32"));
  EXPECT_THAT(attend(narrow, none.cpu(), 3), HasSubstr("expected all tensors on"));
}

TEST(FusedAttention, IsOneLaunchAndDifferentiates) {
  at::manual_seed(4);
  const at::Tensor mask = at::rand({2, 1, 6, 9}) > 0.3;
  for (const bool masked : {false, true}) {
    const auto gradients = [&](at::Device where) {
      at::manual_seed(5);
      std::vector<at::Tensor> leaves;
      for (const std::int64_t length : {6, 9, 9})
        leaves.push_back(at::randn({2, 4, length, 16}).to(where).requires_grad_(true));
      const std::optional<at::Tensor> bias = masked ? std::optional(mask.to(where)) : std::nullopt;
      const at::Tensor y =
          at::scaled_dot_product_attention(leaves[0], leaves[1], leaves[2], bias, 0.0, !masked);
      (y * y).sum().backward();
      return std::vector<at::Tensor>{y.detach(), leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
    };
    emulated::forget_counts();
    const auto found = gradients(device());
    EXPECT_EQ(emulated::counted_in_all().launched["scaled_dot_product_attention"], 1);
    EXPECT_EQ(emulated::counted_in_all().launched["scaled_dot_product_attention_backward"], 1);
    const auto expected = gradients(at::kCPU);
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_LT(distance(found[i], expected[i]), 1e-5) << masked << i;
  }
}

}  // namespace
}  // namespace rocket
