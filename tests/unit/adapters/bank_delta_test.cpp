#include "adapters/bank_delta.h"

#include "backend/cpu/cpu_backend.h"
#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

std::shared_ptr<const LoraAdapter> adapter_of(std::int64_t lora_r, std::int64_t width,
                                              std::vector<std::int64_t> modules, double scale) {
  LoraAdapter adapter{"x", {}};
  for (const std::int64_t m : modules) {
    adapter.weights.push_back({m, at::randn({lora_r, width}), at::randn({width, lora_r}), scale});
  }
  return std::make_shared<const LoraAdapter>(adapter);
}

PackedRows rows_of(std::vector<std::size_t> lengths) {
  std::vector<std::vector<TokenId>> sequences;
  for (const std::size_t n : lengths) sequences.emplace_back(n, 1);
  return pack(sequences, at::kCPU);
}

TEST(BankDelta, AddsEachSequencesOwnAdapter) {
  at::manual_seed(1);
  const auto one = adapter_of(2, 8, {0, 2}, 0.5), other = adapter_of(3, 8, {1, 2}, 2);
  BankDelta delta({one, nullptr, other, other, one});
  const PackedRows rows = rows_of({3, 1, 2, 4, 1});
  const at::Tensor x = at::randn({11, 8}), y = at::randn({11, 8});
  std::vector<at::Tensor> outputs{y.clone(), y.clone(), y.clone(), y.clone()};
  const std::vector<std::int64_t> modules{0, 1, 2, 3};
  delta.arrange(rows);
  delta.add(backend_for(at::kCPU, x.scalar_type()), x, modules, outputs);
  const std::vector<std::shared_ptr<const LoraAdapter>> by_sequence{one, nullptr, other, other, one};
  for (std::int64_t m = 0; m < 4; ++m) {
    at::Tensor expected = y.to(at::kDouble).clone();
    for (std::size_t s = 0; s < 5; ++s) {
      const LoraWeight* weight = by_sequence[s] ? by_sequence[s]->find(m) : nullptr;
      if (weight == nullptr) continue;
      const std::int64_t first = rows.starts[s], count = rows.starts[s + 1] - first;
      expected.narrow(0, first, count) +=
          at::mm(x.narrow(0, first, count).to(at::kDouble), test::delta_w(*weight).t());
    }
    EXPECT_LT(test::largest_difference(outputs[static_cast<std::size_t>(m)], expected), 2e-5) << m;
  }
}

TEST(BankDelta, ServesTheCallersSequencesNotThoseOfTheForward) {
  const auto one = adapter_of(2, 8, {0}, 1);
  BankDelta delta({nullptr, nullptr, one});
  PackedRows rows = rows_of({2, 2});
  rows.sequences = {2, 0};
  std::vector<at::Tensor> outputs{at::zeros({4, 8})};
  delta.arrange(rows);
  delta.add(cpu_backend(), at::ones({4, 8}), std::vector<std::int64_t>{0}, outputs);
  EXPECT_GT(outputs[0].narrow(0, 0, 2).abs().min().item<float>(), 0);
  EXPECT_EQ(outputs[0].narrow(0, 2, 2).abs().max().item<float>(), 0);
}

TEST(BankDelta, DoesNotDependOnTheCompany) {
  at::manual_seed(2);
  for (const std::int64_t lora_r : {1, 2, 3, 4, 8, 16, 32, 33}) {
    const auto one = adapter_of(lora_r, 128, {0}, 0.7);
    for (const std::size_t length : {1, 2, 5, 31}) {
      const auto n = static_cast<std::int64_t>(length);
      const at::Tensor x = at::randn({n + 90, 128});
      const auto outputs_of = [&](std::vector<std::size_t> lengths, const at::Tensor& input) {
        std::vector<at::Tensor> outputs{at::ones({input.size(0), 128})};
        BankDelta delta({one, one, nullptr, one});
        delta.arrange(rows_of(lengths));
        delta.add(backend_for(at::kCPU, input.scalar_type()), input, std::vector<std::int64_t>{0}, outputs);
        return outputs[0];
      };
      const at::Tensor alone = outputs_of({length}, x.narrow(0, 0, n));
      const at::Tensor together = outputs_of({length, 70, 13, 7}, x);
      // Not the same bits: MKL picks its kernel by the number of rows on some processors.
      EXPECT_LT(test::largest_difference(alone, together.narrow(0, 0, n)), 1e-4) << lora_r << " " << length;
      EXPECT_GT(alone.abs().max().item<float>(), 10);
    }
  }
}

TEST(BankDelta, LeavesModulesAloneThatAnAdapterDoesNotName) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    LoraAdapter adapter = *adapter_of(2, 8, {1}, 1);
    adapter.convert(type);
    BankDelta delta({std::make_shared<const LoraAdapter>(adapter)});
    delta.arrange(pack(std::vector<std::vector<TokenId>>{{1, 1, 1}}, at::kCPU));
    const at::Tensor x = at::ones({3, 8}, type);
    for (const std::int64_t module : {0, 1}) {
      std::vector<at::Tensor> outputs{at::zeros({3, 8}, type)};
      delta.add(cpu_backend(), x, std::vector{module}, outputs);
      EXPECT_EQ(outputs[0].abs().max().item<float>() > 0, module == 1) << at::toString(type);
    }
  }
}

}  // namespace
}  // namespace rocket
