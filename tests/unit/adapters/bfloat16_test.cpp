// How far base.dtype: bfloat16 moves the scores of the lab's adapters.
#include <c10/core/GradMode.h>

#include <cmath>

#include "adapters/bank_delta.h"
#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

/// Mean nll of each of the reference's shots.
std::vector<double> scores(at::ScalarType compute, const nlohmann::json& adapter,
                           const nlohmann::json& shots) {
  const c10::NoGradGuard no_grad;
  const Decoder decoder = Decoder::load("tests/lab/base", compute, at::kCPU);
  std::shared_ptr<const LoraAdapter> lora;
  if (!adapter.is_null())
    lora = std::make_shared<const LoraAdapter>(
        load_adapter("tests/lab/bank/" + adapter.get<std::string>(), decoder.modules(), compute, at::kCPU));
  std::vector<double> means;
  for (const auto& shot : shots) {
    const auto ids = shot["ids"].get<std::vector<TokenId>>();
    const auto begin = shot["begin"].get<std::int64_t>(), end = static_cast<std::int64_t>(ids.size());
    BankDelta delta({lora});
    const PackedRows rows = pack(test::Sequences{ids}, at::kCPU);
    const at::Tensor hidden = decoder.hidden(rows, &delta).narrow(0, begin - 1, end - begin);
    means.push_back(
        decoder.nll(hidden, rows.ids_T.narrow(0, begin, end - begin)).to(at::kDouble).mean().item<double>());
  }
  return means;
}

TEST(BFloat16, KeepsTheScoresOfTheLabAsNearAsTheReadmeSays) {
  const auto reference = test::read_reference("tests/data/model/lab.json");
  double largest = 0, sum = 0;
  std::int64_t count = 0;
  for (const auto& one : reference["scores"]) {
    const auto narrow = scores(at::kBFloat16, one["adapter"], reference["shots"]);
    for (std::size_t s = 0; s < narrow.size(); ++s, ++count) {
      const double difference = narrow[s] - one["shots"][s]["nll"].get<double>();
      largest = std::max(largest, std::abs(difference));
      sum += difference;
    }
  }
  std::printf("bfloat16: nll of %lld shots differs by at most %.4f, by %.5f on average\n",
              static_cast<long long>(count), largest, sum / static_cast<double>(count));
  EXPECT_GT(largest, 1e-5) << "computed in float32 after all";
  EXPECT_LT(largest, 0.05);
  EXPECT_LT(std::abs(sum) / static_cast<double>(count), 0.003) << "not to one side";
}

}  // namespace
}  // namespace rocket
