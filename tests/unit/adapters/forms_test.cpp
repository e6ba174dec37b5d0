// Every form of adapter that rocket takes, against transformers and PEFT
// (tests/parity/make_lora_reference.py).
#include <gtest/gtest.h>

#include "adapters/bank_delta.h"
#include "unit/adapters/support.h"
#include "unit/model/support.h"

namespace rocket {
namespace {

const std::string kForms = "tests/data/adapters/forms/";

TEST(AdapterForms, GiveTheLogitsOfPeft) {
  const nlohmann::json reference = test::read_reference(kForms + "reference.json");
  const Decoder decoder = Decoder::load(kForms + "base", at::kFloat, at::kCPU);
  const PackedRows rows = pack(test::Sequences{reference["ids"].get<std::vector<TokenId>>()}, at::kCPU);
  const auto difference = [&](const nlohmann::json& expected, std::shared_ptr<const LoraAdapter> adapter) {
    BankDelta delta({std::move(adapter)});
    const at::Tensor logits = decoder.logits(decoder.hidden(rows, &delta)).to(at::kDouble);
    double worst = 0;
    for (std::size_t t = 0; t < expected.size(); ++t) {
      for (std::size_t v = 0; v < expected[t].size(); ++v)
        worst = std::max(
            worst,
            std::abs(logits[static_cast<std::int64_t>(t)][static_cast<std::int64_t>(v)].item<double>() -
                     expected[t][v].get<double>()));
    }
    return worst;
  };
  EXPECT_LT(difference(reference["base"], nullptr), 2e-5);
  EXPECT_EQ(reference["adapters"].size(), 16u);
  for (const auto& [name, expected] : reference["adapters"].items()) {
    const LoraAdapter adapter = load_adapter(kForms + name, decoder.modules(), at::kFloat, at::kCPU);
    EXPECT_LT(difference(expected, std::make_shared<const LoraAdapter>(adapter)), 2e-5) << name;
    EXPECT_GT(difference(expected, nullptr), 1e-3) << name;
  }
}

}  // namespace
}  // namespace rocket
