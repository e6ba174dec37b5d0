#include "model/encoder.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "support.h"

namespace rocket {
namespace {

using test::Sequences;

struct Case {
  std::string folder, reference;
  Pooling pooling;
};

class SentenceTransformersParity : public testing::TestWithParam<Case> {
 protected:
  const nlohmann::json reference = test::read_reference(GetParam().reference);
  const Sequences sequences = reference["sequences"].get<Sequences>();
  const Encoder encoder = Encoder::load(GetParam().folder, GetParam().pooling, at::kFloat, at::kCPU);
};

TEST_P(SentenceTransformersParity, Embeddings) {
  const auto flat = reference["embeddings"].get<std::vector<float>>();
  const at::Tensor expected = at::tensor(flat).view({static_cast<std::int64_t>(sequences.size()), -1});
  const at::Tensor found = encoder.embed(sequences, 8192);
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LT(test::largest_difference(found, expected), 5e-6);
  EXPECT_GT((found * expected).sum(-1).min().item<double>(), 0.999999);
}

TEST_P(SentenceTransformersParity, SameBitsWhateverCompanyAndThreads) {
  const at::Tensor together = encoder.embed(sequences, 8192);
  EXPECT_TRUE(encoder.embed(sequences, 1).equal(together));
  EXPECT_TRUE(encoder.embed(sequences, 40).equal(together));
  const int before = at::get_num_threads();
  at::set_num_threads(before == 1 ? 2 : 1);
  Sequences many;
  for (int i = 0; i < 40; ++i) many.insert(many.end(), sequences.begin(), sequences.end());
  const at::Tensor repeated = encoder.embed(many, 100000);
  at::set_num_threads(before);
  EXPECT_TRUE(repeated.equal(together.repeat({40, 1})));
}

INSTANTIATE_TEST_SUITE_P(
    Models, SentenceTransformersParity,
    testing::Values(Case{"tests/data/model/encoders/mean_gelu",
                         "tests/data/model/encoders/mean_gelu/reference.json", Pooling::mean},
                    Case{"tests/data/model/encoders/cls_gelu_new_half",
                         "tests/data/model/encoders/cls_gelu_new_half/reference.json", Pooling::cls},
                    Case{"tests/data/model/encoders/mean_prefixed",
                         "tests/data/model/encoders/mean_prefixed/reference.json", Pooling::mean},
                    Case{"tests/lab/encoder", "tests/data/model/lab_encoder.json", Pooling::mean}));

}  // namespace
}  // namespace rocket
