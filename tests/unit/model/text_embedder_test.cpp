#include "model/text_embedder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "support.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

/// A folder as sentence-transformers saved it, and what it computes: tests/parity/make_encoder_reference.py.
class EncoderForms : public testing::TestWithParam<const char*> {
 protected:
  const fs::path folder = fs::path("tests/data/encoders") / GetParam();
  const nlohmann::json reference = test::read_reference((folder / "reference.json").string());
  const test::Sequences ids = reference["ids"].get<test::Sequences>();

  at::Tensor expected() const {
    std::vector<float> flat;
    for (const auto& row : reference["embeddings"])
      for (const auto& x : row) flat.push_back(x.get<float>());
    return at::tensor(flat).view({static_cast<std::int64_t>(ids.size()), -1});
  }
  at::Tensor found(at::ScalarType compute) const {
    const TextEmbedder embedder(folder, {.compute = compute}, at::kCPU);
    return at::tensor(embedder.embed(ids)).view({-1, embedder.dimension()});
  }
  static double least_cosine(const at::Tensor& a, const at::Tensor& b) {
    return (a.to(at::kDouble) * b.to(at::kDouble)).sum(-1).min().item<double>();
  }
};

TEST_P(EncoderForms, TokensAsSentenceTransformersTruncatesThem) {
  const TextEmbedder embedder(folder, {}, at::kCPU);
  const auto texts = reference["texts"].get<std::vector<std::string>>();
  ASSERT_EQ(texts.size(), ids.size());
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(embedder.tokens(texts[i]), ids[i]) << texts[i];
}

TEST_P(EncoderForms, VectorsInFloat32) {
  const at::Tensor vectors = found(at::kFloat), wanted = expected();
  ASSERT_EQ(vectors.sizes(), wanted.sizes());
  EXPECT_LT(test::largest_difference(vectors, wanted), 2e-6);
  EXPECT_GT(least_cosine(vectors, wanted), 0.9999999);
}

/// Three digits are left of a number in bfloat16, and these models are far more sensitive than trained ones.
TEST_P(EncoderForms, VectorsInBfloat16) {
  const at::Tensor vectors = found(at::kBFloat16);
  EXPECT_GT(least_cosine(vectors, expected()), 0.999);
  EXPECT_LT(test::largest_difference(vectors.norm(2, -1), at::ones({vectors.size(0)})), 1e-6);
}

TEST_P(EncoderForms, VectorsOfEachTextAlone) {
  const TextEmbedder embedder(folder, {}, at::kCPU);
  const std::vector<float> together = embedder.embed(ids);
  std::vector<float> alone;
  for (const auto& one : ids) {
    const std::vector<float> vector = embedder.embed({one});
    alone.insert(alone.end(), vector.begin(), vector.end());
  }
  EXPECT_EQ(alone, together);
  EXPECT_TRUE(embedder.embed({}).empty());
}

INSTANTIATE_TEST_SUITE_P(SentenceTransformers, EncoderForms,
                         testing::Values("bert_cls_like_bge", "bert_dense", "xlmr_mean_like_e5",
                                         "xlmr_cls_like_bge_m3", "xlmr_dense_pickled", "roberta_mean",
                                         "camembert_mean"),
                         [](const auto& info) { return std::string(info.param); });

TEST(TextEmbedderTest, RefusesIdsWithoutARow) {
  const TextEmbedder embedder("tests/data/encoders/bert_dense", {}, at::kCPU);
  try {
    embedder.embed({{2, 450, 3}});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_NE(std::string(e.what()).find("token id 450"), std::string::npos) << e.what();
  }
}

TEST(TextEmbedderTest, TheShorterLimitHolds) {
  const TextEmbedder embedder("tests/data/encoders/bert_dense", {.max_length = 5}, at::kCPU);
  EXPECT_EQ(embedder.tokens("one two three four five six").size(), 5U);
  EXPECT_EQ(embedder.tokens("one two three four five six").back(), embedder.tokens("").back());
}

}  // namespace
}  // namespace rocket
