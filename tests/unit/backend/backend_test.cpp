#include "backend/backend.h"

#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <functional>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"
#include "kernels/gram.h"

namespace rocket {
namespace {

/// Numbers between -0.5 and 0.5 that do not repeat.
at::Tensor numbers(at::IntArrayRef shape, double step) {
  std::int64_t count = 1;
  for (const std::int64_t n : shape) count *= n;
  return (at::remainder(at::arange(count, at::kDouble) * step, 1.0) - 0.5).view(shape);
}

struct Who {
  const char* name;
  const Backend& backend;
  at::ScalarType type;
  double bound;  // of the largest difference to float64
};

/// Each backend and type against LibTorch in float64.
class Backends : public testing::TestWithParam<Who> {
 protected:
  using Step = std::function<std::vector<at::Tensor>(const Backend&, const std::vector<at::Tensor>&)>;

  /// Results, then the gradients of the inputs.
  static std::vector<at::Tensor> pass(const Backend& backend, at::ScalarType type,
                                      const std::vector<at::Tensor>& inputs, const Step& step,
                                      bool differentiate) {
    const c10::AutoGradMode grad(differentiate);
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& x : inputs) leaves.push_back(x.to(type).clone().requires_grad_(differentiate));
    // Some steps may overwrite what they are given.
    std::vector<at::Tensor> given;
    for (const at::Tensor& leaf : leaves) given.push_back(differentiate ? leaf * 1 : leaf.clone());
    std::vector<at::Tensor> all = step(backend, given);
    if (!differentiate) return all;
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (const at::Tensor& y : all) sum = sum + (y.to(at::kDouble) * numbers(y.sizes(), 0.7320508)).sum();
    sum.backward();
    for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
    return all;
  }

  static void expect_agreement(const std::vector<at::Tensor>& inputs, const Step& step, bool differentiable) {
    for (const bool differentiate : {false, true}) {
      if (differentiate && !differentiable) continue;
      const Who& who = GetParam();
      std::vector<at::Tensor> rounded;  // both begin with the same values
      for (const at::Tensor& x : inputs) rounded.push_back(x.to(who.type).to(at::kDouble));
      const auto found = pass(who.backend, who.type, rounded, step, differentiate);
      const auto expected = pass(torch_backend(), at::kDouble, rounded, step, differentiate);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(found[i].sizes(), expected[i].sizes()) << i;
        const double scale = std::max(1.0, expected[i].abs().max().item<double>());
        EXPECT_LT((found[i].to(at::kDouble) - expected[i]).abs().max().item<double>() / scale, who.bound)
            << "result " << i << (differentiate ? " with gradients" : "");
      }
    }
  }

  static PackedRows rows() {
    return pack(std::vector<std::vector<TokenId>>{{1, 2, 3}, {4}, {5, 6, 7, 8, 9, 1, 2}, {3, 3, 3}},
                at::kCPU);
  }
};

TEST_P(Backends, Linear) {
  const at::Tensor bias = numbers({7}, 0.2360679);
  expect_agreement(
      {numbers({14, 24}, 0.6180339)},
      [&](const Backend& b, const std::vector<at::Tensor>& x) {
        const auto type = x[0].scalar_type();
        // Weights outlive the graph: a step backward reads them.
        static std::vector<std::unique_ptr<LinearWeight>> kept;
        const auto weight = [&](std::int64_t outputs, double step) {
          kept.push_back(std::make_unique<LinearWeight>(
              b.prepare(numbers({outputs, 24}, step).to(at::kBFloat16).to(type), true)));
          return kept.back().get();
        };
        const std::array<const LinearWeight*, 2> weights{weight(7, 0.4142135), weight(5, 0.4494897)};
        return b.linear(x[0], weights, std::array{bias.to(at::kBFloat16).to(type), at::Tensor()});
      },
      true);
}

TEST_P(Backends, RmsNorm) {
  expect_agreement(
      {4 * numbers({14, 24}, 0.6180339)},
      [](const Backend& b, const std::vector<at::Tensor>& x) {
        const at::Tensor weight = (1 + numbers({24}, 0.3)).to(at::kBFloat16).to(x[0].scalar_type());
        return std::vector{b.rms_norm(x[0], weight, 1e-5)};
      },
      true);
}

TEST_P(Backends, NormsWithWideWeightsHaveTheTypeOfTheirRows) {
  expect_agreement(
      {4 * numbers({14, 24}, 0.6180339)},
      [](const Backend& b, const std::vector<at::Tensor>& x) {
        const auto type = c10::promoteTypes(x[0].scalar_type(), at::kFloat);
        const at::Tensor weight = (1 + numbers({24}, 0.3)).to(at::kFloat).to(type);
        const at::Tensor y = b.rms_norm(x[0], weight, 1e-5);
        EXPECT_EQ(y.scalar_type(), x[0].scalar_type());
        return std::vector{y};
      },
      true);
}

TEST_P(Backends, LayerNorm) {
  expect_agreement(
      {4 * numbers({14, 24}, 0.6180339)},
      [](const Backend& b, const std::vector<at::Tensor>& x) {
        const auto of = [&](double step) {
          return numbers({24}, step).to(at::kBFloat16).to(x[0].scalar_type());
        };
        return std::vector{b.layer_norm(x[0], {of(0.3) + 1, of(0.7), 1e-5})};
      },
      true);
}

TEST_P(Backends, AddAndRmsNorm) {
  expect_agreement(
      {4 * numbers({14, 24}, 0.6180339), 3 * numbers({14, 24}, 0.4142135)},
      [](const Backend& b, const std::vector<at::Tensor>& x) {
        const at::Tensor weight = (1 + numbers({24}, 0.3)).to(at::kBFloat16).to(x[0].scalar_type());
        const auto [sum, normed] = b.add_rms_norm(x[0].clone(), x[1], weight, 1e-5);
        return std::vector{sum, normed};
      },
      true);
}

TEST_P(Backends, Rotate) {
  for (const std::int64_t half : {8, 3}) {  // of 16 values all turn, or six
    const at::Tensor angle = numbers({14, half}, 0.57) * 6;
    expect_agreement(
        {numbers({14, 3, 16}, 0.6180339)},
        [&](const Backend& b, const std::vector<at::Tensor>& x) {
          const auto values = [&](const at::Tensor& of) {
            return b.rotation_values(of.to(at::kBFloat16).to(at::kFloat), x[0].scalar_type(), at::kCPU)
                .unsqueeze(1);
          };
          return std::vector{b.rotate(x[0], {values(angle.cos()), values(angle.sin())})};
        },
        true);
  }
}

TEST_P(Backends, Activations) {
  for (const Activation activation : {Activation::silu, Activation::gelu, Activation::gelu_tanh})
    expect_agreement(
        {8 * numbers({14, 24}, 0.6180339), numbers({14, 24}, 0.4142135)},
        [&](const Backend& b, const std::vector<at::Tensor>& x) {
          return std::vector{b.activate(activation, x[0], x[1])};
        },
        true);
}

TEST_P(Backends, ActivationsWithoutAGate) {
  for (const Activation activation : {Activation::gelu, Activation::gelu_tanh})
    expect_agreement(
        {8 * numbers({14, 24}, 0.6180339)},
        [&](const Backend& b, const std::vector<at::Tensor>& x) {
          return std::vector{b.activate(activation, x[0], at::Tensor())};
        },
        true);
}

TEST_P(Backends, AttentionWithWindowsAndSharedKeyHeads) {
  const PackedRows packed = rows();
  for (const AttentionRule& mask :
       {AttentionRule{true, 0}, AttentionRule{true, 2}, AttentionRule{true, 6}, AttentionRule{false, 0},
        AttentionRule{true, 0, 0.7}, AttentionRule{true, 3, 0.7, 0.4}, AttentionRule{false, 0, 0, 0.4}}) {
    expect_agreement(
        {numbers({14, 4, 8}, 0.6180339), 3 * numbers({14, 2, 8}, 0.4142135), numbers({14, 2, 8}, 0.3027756)},
        [&](const Backend& b, const std::vector<at::Tensor>& x) {
          return std::vector{b.attend(AttentionRows(packed), x[0], x[1], x[2], mask)};
        },
        true);
  }
}

TEST_P(Backends, CachesGoOnWhereTheyStopped) {
  const Backend& b = GetParam().backend;
  const auto type = GetParam().type;
  const c10::InferenceMode inference;
  const PackedRows whole = pack(std::vector<std::vector<TokenId>>{{1, 2, 3, 4, 5, 6}}, at::kCPU);
  const at::Tensor q = numbers({6, 4, 8}, 0.6180339).to(type), k = 3 * numbers({6, 2, 8}, 0.4142135).to(type),
                   v = numbers({6, 2, 8}, 0.3027756).to(type);
  for (const AttentionRule& mask :
       {AttentionRule{true, 0}, AttentionRule{true, 3}, AttentionRule{true, 3, 0.7, 0.4}}) {
    const at::Tensor expected = torch_backend().attend(AttentionRows(whole), q.to(at::kDouble),
                                                       k.to(at::kDouble), v.to(at::kDouble), mask);
    const auto cache = b.make_cache({1, 2, 8, type, at::kCPU, 0, mask.cap > 0});
    cache->open(0, 6);
    std::vector<at::Tensor> found;
    for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 4}, {4, 5}, {5, 6}}) {
      PackedRows rows = pack(std::vector<std::vector<TokenId>>(
                                 1, std::vector<TokenId>(static_cast<std::size_t>(end - begin), 1)),
                             at::kCPU);
      cache->arrange(rows);
      const auto part = [&](const at::Tensor& x) { return x.slice(0, begin, end); };
      found.push_back(cache->attend(0, part(q), part(k), part(v), mask));
      cache->advance(rows);
    }
    EXPECT_LT((at::cat(found).to(at::kDouble) - expected).abs().max().item<double>(), GetParam().bound);
  }
}

TEST_P(Backends, HeadSumsAreFloat) {
  const at::Tensor targets = at::remainder(at::arange(14) * 37, 1000);
  const auto type = GetParam().type;
  const at::Tensor weight = numbers({1000, 24}, 0.4142135).to(type),
                   x = 4 * numbers({14, 24}, 0.6180339).to(type);
  const at::Tensor logits = at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
  const Backend& b = GetParam().backend;
  const HeadWeight head{b.prepare_head(weight, true)};
  EXPECT_LT((b.logits(head, x) - logits).abs().max().item<double>(), 1e-5) << "not rounded to the type";
  EXPECT_TRUE(b.best(head, x).cpu().equal(logits.argmax(-1)));
  const at::Tensor nll = -at::log_softmax(logits, -1).gather(1, targets.unsqueeze(1)).squeeze(1);
  EXPECT_LT((b.nll(head, x, targets) - nll).abs().max().item<double>(), 1e-5);
}

TEST_P(Backends, LogitsAreScaledAndCapped) {
  const auto type = GetParam().type;
  const at::Tensor weight = numbers({1000, 24}, 0.4142135).to(type),
                   x = 4 * numbers({14, 24}, 0.6180339).to(type);
  const Backend& b = GetParam().backend;
  const HeadWeight head{b.prepare_head(weight, true), 0.7, 0.9};
  const at::Tensor products = at::mm(x.to(at::kDouble), weight.to(at::kDouble).t());
  const at::Tensor logits = at::tanh(products * 0.7 / 0.9) * 0.9;
  EXPECT_LT((b.logits(head, x) - logits).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(b.best(head, x).cpu().equal(logits.argmax(-1)));
}

TEST_P(Backends, NllHasAGradient) {
  const at::Tensor targets = at::remainder(at::arange(14) * 37, 300);
  static std::vector<LinearWeight> kept;
  expect_agreement(
      {4 * numbers({14, 24}, 0.6180339)},
      [&](const Backend& b, const std::vector<at::Tensor>& x) {
        const at::Tensor weight = numbers({300, 24}, 0.4142135).to(at::kBFloat16).to(x[0].scalar_type());
        return std::vector{b.nll({b.prepare_head(weight, true)}, x[0], targets).to(at::kDouble),
                           b.nll({b.prepare_head(weight, true), 0.7, 0.9}, x[0], targets).to(at::kDouble)};
      },
      true);
}

TEST_P(Backends, EncoderSteps) {
  const PackedRows packed = rows();
  expect_agreement(
      {numbers({14, 24}, 0.6180339), numbers({14, 16}, 0.4142135)},
      [&](const Backend& b, const std::vector<at::Tensor>& x) {
        const auto of = [&](at::IntArrayRef shape, double step) {
          return numbers(shape, step).to(at::kBFloat16).to(x[0].scalar_type());
        };
        const AffineWeights affine = b.prepare_affine(of({16, 24}, 0.2360679), of({16}, 0.3));
        const NormWeights norm{of({16}, 0.41) + 1, of({16}, 0.23), 1e-6};
        const EmbeddingWeights words{of({10, 16}, 0.77), of({9, 16}, 0.13), of({16}, 0.59), norm};
        return std::vector{b.affine(affine, x[0]),
                           b.affine_gelu(affine, 8 * x[0], true),
                           b.affine_gelu(affine, 8 * x[0], false),
                           b.affine_norm(affine, x[0], x[1], norm),
                           b.embedded(words, packed.ids_T, packed.positions_T),
                           b.mean_rows(x[1], packed)};
      },
      false);
}

TEST_P(Backends, AdaptersOfSegments) {
  expect_agreement(
      {numbers({14, 24}, 0.6180339), numbers({14, 16}, 0.4142135), numbers({14, 9}, 0.3027756)},
      [](const Backend& b, const std::vector<at::Tensor>& x) {
        const c10::InferenceMode inference;
        const auto of = [&](at::IntArrayRef shape, double step) {
          return numbers(shape, step).to(at::kBFloat16).to(x[0].scalar_type()).contiguous();
        };
        const auto first =
            b.prepare_low_rank(std::array{LowRank{of({4, 24}, 0.2360679), of({16, 4}, 0.77), 2}, LowRank{}});
        const auto second = b.prepare_low_rank(std::array{LowRank{of({8, 24}, 0.31), of({16, 8}, 0.57), 0.5},
                                                          LowRank{of({2, 24}, 0.41), of({9, 2}, 0.13), 1}});
        std::vector<at::Tensor> outputs{x[1].clone(), x[2].clone()};
        const std::vector<LowRankSegment> segments{{0, 3, first.get(), 0}, {4, 7, second.get(), 1}};
        std::unique_ptr<LowRankKept> kept;
        b.add_low_rank(x[0], segments, ServedRows(segments, 14, at::kCPU), outputs, kept);
        return outputs;
      },
      false);
}

TEST_P(Backends, DropoutKeepsTheMean) {
  const std::int64_t tokens = 512, inputs = 256;
  const auto type = GetParam().type;
  const Backend& b = GetParam().backend;
  MixtureView layer;
  layer.columns.add_module(std::array<std::int64_t, 1>{1}, std::array{1.0});
  layer.a_RI = at::ones({1, inputs}, type == at::kDouble ? at::kDouble : at::kFloat);
  layer.router_NI = at::zeros_like(layer.a_RI);
  layer.b_OR = {at::ones({1, 1}, layer.a_RI.options())};
  const at::Tensor x = (1 + at::rand({tokens, inputs}, at::kDouble)).to(type);
  const InputDropout dropout{{at::arange(tokens), at::zeros({tokens}, at::kLong), 12345, 3,
                              static_cast<std::uint32_t>(0.05 * 0x1p32)},
                             1 / 0.95};
  std::vector<at::Tensor> y{at::zeros({tokens, 1}, type)};
  b.add_mixture(layer, x, dropout, y);
  const at::Tensor kept_TI = b.dropout_mask(dropout.draw, inputs);
  const at::Tensor expected = (x.to(at::kDouble) * kept_TI).sum(1) / 0.95;
  EXPECT_NEAR((y[0].squeeze(1).to(at::kDouble) / expected).mean().item<double>(), 1, 5e-4);
}

TEST_P(Backends, DropoutMasksHaveTheSameBits) {
  const DropoutDraw draw{numbers({14}, 0.6180339).mul(1e9).to(at::kLong),
                         at::arange(14) * (std::int64_t{1} << 32), 12345, 3, 1U << 28};
  EXPECT_TRUE(GetParam().backend.dropout_mask(draw, 67).equal(cpu_backend().dropout_mask(draw, 67)));
}

TEST_P(Backends, SumsOverAll) {
  const at::Tensor values = numbers({300'000}, 0.6180339).to(at::kFloat);
  EXPECT_NEAR(GetParam().backend.l2_norm(values), values.to(at::kDouble).norm().item<double>(), 1e-9);
  const at::Tensor panels = numbers({3, 10, kGramPanel}, 0.4142135).to(at::kFloat);
  const at::Tensor rows = panels.permute({0, 2, 1}).reshape({-1, 10}).to(at::kDouble);
  const at::Tensor expected = at::mm(rows, rows.t());
  EXPECT_LT((GetParam().backend.gram(panels, panels) - expected).abs().max().item<double>(), 1e-12);
}

/// What a GPU's backend does where rocket was built without the CUDA tool kit.
const CudaBackend kWithoutToolKit(nullptr, [] { return CaptureLaunches(nullptr); });

const Who kWho[] = {{"cpu_float32", cpu_backend(), at::kFloat, 1e-5},
                    {"cpu_bfloat16", cpu_backend(), at::kBFloat16, 0.02},
                    {"torch_float32", torch_backend(), at::kFloat, 1e-5},
                    {"cuda_without_tool_kit", kWithoutToolKit, at::kFloat, 1e-5},
                    {"torch_bfloat16", torch_backend(), at::kBFloat16, 0.02}};

INSTANTIATE_TEST_SUITE_P(All, Backends, testing::ValuesIn(kWho),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace rocket
