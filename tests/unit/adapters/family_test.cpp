// Every family with adapters of every form, all in one batch, against PEFT.
#include <c10/core/GradMode.h>

#include "adapters/bank_delta.h"
#include "unit/model/families.h"

namespace rocket {
namespace {

using test::Sequences;

class FamilyAdapterTest : public testing::TestWithParam<std::string> {};

TEST_P(FamilyAdapterTest, NllAndGreedyIdsOfEveryForm) {
  const c10::NoGradGuard no_grad;
  const auto file = test::read_reference(test::family_folder(GetParam()) / "cases.json");
  const Sequences sequences = file["sequences"].get<Sequences>();
  double largest = 0;
  for (const auto& one : file["cases"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const Decoder decoder = test::load_family(GetParam(), one["config"]);
    Sequences texts;
    nlohmann::json nll = nlohmann::json::array();
    Sequences greedy;
    std::vector<std::shared_ptr<const LoraAdapter>> adapters;
    for (const char* form : {"base", "qv", "all_linear", "rslora", "patterns"}) {
      if (!one.contains(form)) continue;
      const auto folder = test::family_folder(GetParam()) / "adapters" / form;
      std::shared_ptr<const LoraAdapter> adapter;
      if (std::filesystem::exists(folder))
        adapter = std::make_shared<const LoraAdapter>(
            load_adapter(folder, decoder.modules(), at::kFloat, at::kCPU));
      for (std::size_t s = 0; s < sequences.size(); ++s) {
        texts.push_back(sequences[s]);
        adapters.push_back(adapter);
        nll.push_back(one[form]["nll"][s]);
        greedy.push_back(one[form]["greedy"][s].get<std::vector<TokenId>>());
      }
    }
    BankDelta delta(adapters);
    const double difference = test::largest_nll_difference(test::nll_of(decoder, texts, &delta), nll);
    EXPECT_LT(difference, 2e-5);
    largest = std::max(largest, difference);
    EXPECT_EQ(generate(decoder, test::prompts_of(texts), &delta, test::kFamilyOptions), greedy);
  }
  std::printf("%s with adapters: nll differs by at most %.2g\n", GetParam().c_str(), largest);
}

INSTANTIATE_TEST_SUITE_P(Decoders, FamilyAdapterTest, testing::ValuesIn(test::kFamilies));

}  // namespace
}  // namespace rocket
