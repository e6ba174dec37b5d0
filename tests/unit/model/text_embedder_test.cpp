#include "model/text_embedder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "support.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

/// Texts of these ids, each read in one go.
std::vector<EncoderTokens> read_whole(const test::Sequences& sequences) {
  std::vector<EncoderTokens> texts;
  for (const auto& ids : sequences) texts.push_back({{ids}});
  return texts;
}

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
    return at::tensor(embedder.embed(read_whole(ids))).view({-1, embedder.dimension()});
  }
  /// Of rows in float32, whose own norms differ from 1 by their rounding.
  static double least_cosine(const at::Tensor& a, const at::Tensor& b) {
    return at::cosine_similarity(a.to(at::kDouble), b.to(at::kDouble), 1).min().item<double>();
  }
};

TEST_P(EncoderForms, TokensAsSentenceTransformersTruncatesThem) {
  const TextEmbedder embedder(folder, {}, at::kCPU);
  const auto texts = reference["texts"].get<std::vector<std::string>>();
  ASSERT_EQ(texts.size(), ids.size());
  for (std::size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ(embedder.tokenizer().tokens(texts[i]).windows, test::Sequences{ids[i]}) << texts[i];
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
  const std::vector<float> together = embedder.embed(read_whole(ids));
  std::vector<float> alone;
  for (const auto& one : ids) {
    const std::vector<float> vector = embedder.embed(read_whole({one}));
    alone.insert(alone.end(), vector.begin(), vector.end());
  }
  EXPECT_EQ(alone, together);
  EXPECT_TRUE(embedder.embed({}).empty());
}

INSTANTIATE_TEST_SUITE_P(SentenceTransformers, EncoderForms,
                         testing::Values("bert_cls_like_bge", "bert_dense", "xlmr_mean_like_e5",
                                         "xlmr_cls_like_bge_m3", "xlmr_dense_pickled", "roberta_mean",
                                         "roberta_lower_cased", "camembert_mean", "mpnet_mean",
                                         "mpnet_max_prefixed", "distilbert_weightedmean",
                                         "distilbert_mean_sqrt_len", "xlmr_lasttoken", "qwen3_lasttoken",
                                         "gemma3_dense", "modernbert_mean", "modernbert_cls_prefixed",
                                         "nomic_mean", "nomic_as_published", "gte_cls", "gte_as_published"),
                         [](const auto& info) { return std::string(info.param); });

/// sentence-transformers' truncate_dim: the first components of the vectors, which are normalised then.
TEST(TextEmbedderTest, TheFirstComponentsAloneMayCount) {
  for (const char* name : {"bert_cls_like_bge", "bert_dense"}) {
    const fs::path folder = fs::path("tests/data/encoders") / name;
    const auto reference = test::read_reference((folder / "reference.json").string());
    const TextEmbedder embedder(folder, {.truncate_dim = 5}, at::kCPU);
    ASSERT_EQ(embedder.dimension(), 5);
    const at::Tensor found =
        at::tensor(embedder.embed(read_whole(reference["ids"].get<test::Sequences>()))).view({-1, 5});
    for (std::size_t i = 0; i < reference["embeddings"].size(); ++i) {
      const at::Tensor whole = at::tensor(reference["embeddings"][i].get<std::vector<float>>());
      const at::Tensor first = whole.narrow(0, 0, 5);
      EXPECT_LT(test::largest_difference(found[static_cast<std::int64_t>(i)], first / first.norm()), 5e-6)
          << name;
    }
    try {
      TextEmbedder(folder, {.truncate_dim = 19}, at::kCPU);
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config);
      EXPECT_NE(std::string(e.what()).find("encoder.truncate_dim: 19, but"), std::string::npos) << e.what();
    }
  }
}

TEST(TextEmbedderTest, AllCoresTokeniseAsOneDoes) {
  const std::string encoder = "tests/data/encoders/bert_dense";
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) texts.push_back("text number " + std::to_string(i * i));
  const TextEmbedder all(encoder, {.cores_are_free = true}, at::kCPU), one(encoder, {}, at::kCPU);
  const auto found = all.tokens(texts), expected = one.tokens(texts);
  ASSERT_EQ(found.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(found[i].windows, expected[i].windows) << i;
}

TEST(TextEmbedderTest, RefusesIdsWithoutARow) {
  const TextEmbedder embedder("tests/data/encoders/bert_dense", {}, at::kCPU);
  try {
    embedder.embed(read_whole({{2, 450, 3}}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_NE(std::string(e.what()).find("token id 450"), std::string::npos) << e.what();
  }
}

TEST(TextEmbedderTest, TheShorterLimitHolds) {
  const TextEmbedder embedder("tests/data/encoders/bert_dense", {.max_length = 5}, at::kCPU);
  const EncoderTokens cut = embedder.tokenizer().tokens("one two three four five six");
  EXPECT_TRUE(cut.is_long);
  ASSERT_EQ(cut.windows.size(), 1U);
  EXPECT_EQ(cut.windows[0].size(), 5U);
  const EncoderTokens empty = embedder.tokenizer().tokens("");
  EXPECT_FALSE(empty.is_long);
  EXPECT_EQ(cut.windows[0].back(), empty.windows.at(0).back());
}

/// The ids of a text without specials, by windows of a tokenizer that reads them all, and its specials.
struct Ids {
  std::vector<TokenId> text;
  TokenId first = 0, last = 0;
};
Ids ids_of(const std::string& text) {
  const auto whole = EncoderTokenizer("tests/data/encoders/bert_dense", 1000, LongTexts::cut).tokens(text);
  EXPECT_FALSE(whole.is_long);
  const std::vector<TokenId>& ids = whole.windows.at(0);
  return {{ids.begin() + 1, ids.end() - 1}, ids.front(), ids.back()};
}

std::vector<TokenId> with_specials(const Ids& ids, std::vector<std::pair<std::size_t, std::size_t>> parts) {
  std::vector<TokenId> window = {ids.first};
  for (const auto& [begin, end] : parts)
    window.insert(window.end(), ids.text.begin() + static_cast<std::ptrdiff_t>(begin),
                  ids.text.begin() + static_cast<std::ptrdiff_t>(end));
  window.push_back(ids.last);
  return window;
}

TEST(TextEmbedderTest, LongTextsLoseTheirEndOrMiddleOrAreReadInWindows) {
  const std::string text = "a b c d e f g h i j k l m";
  const Ids ids = ids_of(text);
  const std::size_t n = ids.text.size();
  ASSERT_GT(n, 10U);
  ASSERT_LT(n, 15U);
  const auto read = [&](LongTexts way, std::int64_t length) {
    return EncoderTokenizer("tests/data/encoders/bert_dense", length, way).tokens(text);
  };
  const test::Sequences cut = {with_specials(ids, {{0, 5}})};
  const test::Sequences head_tail = {with_specials(ids, {{0, 3}, {n - 2, n}})};
  const test::Sequences windows = {with_specials(ids, {{0, 5}}), with_specials(ids, {{5, 10}}),
                                   with_specials(ids, {{10, n}})};
  EXPECT_EQ(read(LongTexts::cut, 7).windows, cut);
  EXPECT_EQ(read(LongTexts::head_tail, 7).windows, head_tail);
  EXPECT_EQ(read(LongTexts::windows, 7).windows, windows);
  for (const LongTexts way : {LongTexts::cut, LongTexts::head_tail, LongTexts::windows}) {
    const auto length = static_cast<std::int64_t>(n) + 2;
    EXPECT_TRUE(read(way, length - 1).is_long);
    EXPECT_FALSE(read(way, length).is_long);
    EXPECT_EQ(read(way, length).windows, test::Sequences{with_specials(ids, {{0, n}})});
    EXPECT_TRUE(read(way, 2).is_long);  // no room beside the specials
    EXPECT_EQ(read(way, 2).windows, test::Sequences{with_specials(ids, {})});
  }
}

TEST(TextEmbedderTest, TheVectorOfWindowsIsTheirMeanNormalised) {
  const TextEmbedder embedder("tests/data/encoders/bert_dense",
                              {.max_length = 7, .long_texts = LongTexts::windows}, at::kCPU);
  std::vector<EncoderTokens> texts;
  for (const char* text : {"short", "a b c d e f g h i j k l m", "", "a b c d e f g h"})
    texts.push_back(embedder.tokenizer().tokens(text));
  const at::Tensor found = at::tensor(embedder.embed(texts)).view({4, -1});
  for (std::size_t t = 0; t < texts.size(); ++t) {
    const auto windows = at::tensor(embedder.embed(read_whole(texts[t].windows)))
                             .view({-1, embedder.dimension()})
                             .to(at::kDouble);
    const at::Tensor mean = windows.mean(0);
    EXPECT_LT(
        test::largest_difference(found[static_cast<std::int64_t>(t)], (mean / mean.norm()).to(at::kFloat)),
        1e-6);
  }
  EXPECT_TRUE(at::equal(found[0], at::tensor(embedder.embed(read_whole(texts[0].windows)))));
}

}  // namespace
}  // namespace rocket
