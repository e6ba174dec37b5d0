#include "model/serve.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support.h"

namespace rocket {
namespace {

using test::Sequences;

constexpr std::int64_t kPrompt = 14, kBeginning = 11;

/// Texts that begin alike, as those of a prompt template do, and some of them go on alike.
Sequences texts_that_begin_alike() {
  Sequences texts = test::random_sequences(24, 512, 30, 3);
  for (std::size_t t = 0; t < texts.size(); ++t) {
    auto& text = texts[t];
    text.resize(std::max<std::size_t>(text.size(), kPrompt + 4), 77);
    for (std::int64_t i = 0; i < kBeginning; ++i) {
      const auto kind = static_cast<std::int64_t>(i < 5 ? 0 : t % (i < 8 ? 3 : 6));
      text[static_cast<std::size_t>(i)] = static_cast<TokenId>(100 + i + 20 * kind);
    }
  }
  return texts;
}

/// Counts the rows of each module.
class CountingDelta : public LinearDelta {
 public:
  std::map<std::int64_t, std::int64_t> rows;
  void arrange(const PackedRows& packed) override { arranged_ = packed.tokens(); }
  void add(const Backend&, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor>) override {
    EXPECT_EQ(x_TI.size(0), arranged_);
    for (const std::int64_t module : modules) rows[module] += x_TI.size(0);
  }

 private:
  std::int64_t arranged_ = 0;
};

Request scored(const std::vector<TokenId>& text) {
  return {.ids = text, .scored_from = kPrompt};
}
Request continued(const std::vector<TokenId>& text, std::int64_t group) {
  return {
      .ids = {text.begin(), text.begin() + kPrompt}, .prompt = kPrompt, .max_new_tokens = 20, .group = group};
}
Request both(const std::vector<TokenId>& text, std::int64_t group) {
  return {.ids = text, .scored_from = kPrompt, .prompt = kPrompt, .max_new_tokens = 20, .group = group};
}

class ServeTest : public testing::Test {
 protected:
  std::vector<Answer> answers(const std::vector<Request>& requests, std::int64_t batch_tokens = 8192) {
    return serve(decoder, requests, &delta, {.stop_ids = {0, 2, 3, 13, 430}, .batch_tokens = batch_tokens});
  }
  template <class Make>
  std::vector<Request> all(const Make& make) const {
    std::vector<Request> requests;
    for (const auto& text : texts) requests.push_back(make(text));
    return requests;
  }
  void expect_same(const std::vector<Answer>& found) {
    const auto nll = answers(all(scored));
    const auto ids = answers(all([](const auto& text) { return continued(text, -1); }));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(found[i].nll, nll[i].nll) << i;
      EXPECT_EQ(found[i].generated, ids[i].generated) << i;
    }
  }

  const Decoder decoder = test::load_decoder("stories260k");
  test::MatrixDelta delta = test::random_delta(decoder, 0.05);
  const Sequences texts = texts_that_begin_alike();
};

TEST_F(ServeTest, OneReadingForBothAnswersHasTheBitsOfTwo) {
  expect_same(answers(all([](const auto& text) { return both(text, -1); })));
}

TEST_F(ServeTest, ASharedBeginningHasTheBitsOfEachReadWhole) {
  expect_same(answers(all([](const auto& text) { return both(text, 5); })));
}

TEST_F(ServeTest, SlotsThatRefillHaveTheBitsOfAllAtOnce) {
  for (const std::int64_t positions : {1, 60, 150, 400}) {
    expect_same(answers(all([](const auto& text) { return both(text, 0); }), positions));
  }
}

TEST_F(ServeTest, WorkersSideBySideHaveTheSameBits) {
  const auto requests = all([](const auto& text) { return both(text, text.back() % 2); });
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    expect_same(serve(decoder, requests, [&] { return std::make_unique<test::MatrixDelta>(delta); },
                      {.stop_ids = {0, 2, 3, 13, 430}, .batch_tokens = 300}));
  }
  at::set_num_threads(before);
}

TEST_F(ServeTest, ATextAtTheModelsEndIsContinuedByNothing) {
  const auto end = static_cast<std::size_t>(decoder.config().max_positions);
  const std::vector<TokenId> full(end, 5), nearly(end - 2, 5);
  const auto length = [](const auto& ids) { return static_cast<std::int64_t>(ids.size()); };
  const auto found =
      serve(decoder,
            std::vector<Request>{{.ids = full, .prompt = length(full), .max_new_tokens = 9},
                                 {.ids = nearly, .prompt = length(nearly), .max_new_tokens = 9}},
            nullptr, {});
  EXPECT_TRUE(found[0].generated.empty());
  EXPECT_EQ(found[1].generated.size(), 2);
}

TEST_F(ServeTest, EachBeginningIsComputedOnceAndTheLastLayerForAskedRowsAlone) {
  const auto request = [](std::vector<TokenId> ids) {
    return Request{.ids = std::move(ids), .scored_from = 5, .group = 1};
  };
  const std::vector<Request> requests{request({1, 2, 8, 8, 8, 8, 5}), request({1, 2, 3, 4, 5, 6}),
                                      request({1, 2, 3, 4, 5, 7}), request({1, 2, 3, 9, 9, 9})};
  CountingDelta counts;
  serve(decoder, requests, &counts, {});
  const std::int64_t modules = static_cast<std::int64_t>(decoder.modules().size());
  // The last row before a scored id is asked for, and so each text's own.
  EXPECT_EQ(counts.rows[0], 6 + 2 + 3 + 5);
  EXPECT_EQ(counts.rows[modules - 7], counts.rows[0]) << "keys and values of all rows";
  EXPECT_EQ(counts.rows[modules - 1], 2 + 1 + 1 + 1);
}

TEST_F(ServeTest, AsksForNothingImpossible) {
  EXPECT_TRUE(answers({}).empty());
  EXPECT_THROW(answers({Request{}}), Error);
  EXPECT_THROW(answers({Request{.ids = {1, 2}, .scored_from = 2}}), Error);
  EXPECT_THROW(answers({Request{.ids = {1, 2}, .prompt = 3, .max_new_tokens = 1}}), Error);
  EXPECT_THROW(answers({Request{.ids = {1, 2}, .scored_from = 1, .prompt = 2, .max_new_tokens = 1}}), Error);
}

}  // namespace
}  // namespace rocket
