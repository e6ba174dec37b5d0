// Every family, rotary embedding, bias, norm and window on the GPU, and every form of encoder and similarity:
// against transformers, sentence-transformers and the CPU.
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include "adapters/bank.h"
#include "adapters/similarity.h"
#include "gpu/support.h"
#include "model/encoder.h"
#include "unit/model/families.h"

namespace rocket {
namespace {

using test::Sequences;

at::Tensor nll_on_gpu(const Decoder& decoder, const Sequences& sequences) {
  const c10::NoGradGuard no_grad;
  const test::Prediction asked(sequences);
  const auto on_gpu = [](const std::vector<std::int64_t>& values) {
    return at::tensor(values, at::kLong).to(test::gpu());
  };
  const at::Tensor hidden = decoder.hidden(pack(sequences, test::gpu()), nullptr);
  return decoder.nll(hidden.index_select(0, on_gpu(asked.rows)), on_gpu(asked.targets)).cpu();
}

TEST(GpuFamilies, HaveTheNllAndTheGreedyIdsOfTransformers) {
  double largest = 0;
  for (const std::string& family : test::kFamilies) {
    const auto file = test::read_reference(test::family_folder(family) / "cases.json");
    const auto sequences = file["sequences"].get<Sequences>();
    for (const auto& one : file["cases"]) {
      SCOPED_TRACE(family + ", " + one["name"].get<std::string>());
      const Decoder decoder = test::load_family(family, one["config"], at::kFloat, test::gpu());
      largest =
          std::max(largest, test::largest_nll_difference(nll_on_gpu(decoder, sequences), one["base"]["nll"]));
      EXPECT_EQ(generate(decoder, test::prompts_of(sequences), nullptr, test::kFamilyOptions),
                one["base"]["greedy"].get<Sequences>());
    }
  }
  std::cout << "nll differs by at most " << largest << "\n";
  EXPECT_LT(largest, 5e-5);
}

TEST(GpuFamilies, StayNearInBfloat16) {
  double largest = 0;
  for (const std::string& family : test::kFamilies) {
    const auto file = test::read_reference(test::family_folder(family) / "cases.json");
    const auto& one = file["cases"][0];
    const Decoder decoder = test::load_family(family, one["config"], at::kBFloat16, test::gpu());
    largest =
        std::max(largest, test::largest_nll_difference(
                              nll_on_gpu(decoder, file["sequences"].get<Sequences>()), one["base"]["nll"]));
  }
  std::cout << "nll differs by at most " << largest << "\n";
  EXPECT_LT(largest, 0.5);
}

TEST(GpuEncoders, HaveTheEmbeddingsOfSentenceTransformers) {
  for (const auto& [folder, pooling] : {std::pair{"mean_gelu", Pooling::mean},
                                        {"cls_gelu_new_half", Pooling::cls},
                                        {"mean_prefixed", Pooling::mean}}) {
    const std::string path = std::string("tests/data/model/encoders/") + folder;
    const auto reference = test::read_reference(path + "/reference.json");
    const auto sequences = reference["sequences"].get<Sequences>();
    const at::Tensor expected = at::tensor(reference["embeddings"].get<std::vector<float>>())
                                    .view({static_cast<std::int64_t>(sequences.size()), -1});
    const Encoder encoder = Encoder::load(path, pooling, at::kFloat, test::gpu());
    EXPECT_LT(test::largest_difference(encoder.embed(sequences, 8192), expected), 1e-5) << folder;
    EXPECT_LT(test::largest_difference(encoder.embed(sequences, 40), expected), 1e-5) << folder;
  }
}

TEST(GpuSimilarity, IsTheCpus) {
  const auto matrix = [](at::Device device) {
    const Bank bank(list_bank({"tests/lab/bank"}, {}), test::lab_base().modules(), at::kFloat, device,
                    1 << 30);
    return at::tensor(similarity_matrix(bank, SimilarityKind::delta_w), at::kDouble);
  };
  EXPECT_LT(test::largest_difference(matrix(test::gpu()), matrix(at::kCPU)), 1e-9);
}

}  // namespace
}  // namespace rocket
