#include "model/generate.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "support.h"

namespace rocket {
namespace {

using test::Sequences;

TEST(Generate, SameIdsWhateverCompanyBatchAndThreads) {
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences prompts = test::random_sequences(30, 512, 12, 5);
  test::MatrixDelta delta = test::random_delta(decoder, 0.05);
  GenerateOptions options{.max_new_tokens = 25, .stop_ids = {0, 2, 3, 13, 430, 261}};
  const auto expected = generate(decoder, prompts, &delta, options);
  const auto stopped = std::ranges::count_if(expected, [](const auto& ids) { return ids.size() < 25; });
  EXPECT_GT(stopped, 3);
  EXPECT_LT(stopped, 28);
  options.batch_tokens = 90;
  EXPECT_EQ(generate(decoder, prompts, &delta, options), expected);
  options.batch_tokens = 1;
  EXPECT_EQ(generate(decoder, prompts, &delta, options), expected);
  const int before = at::get_num_threads();
  at::set_num_threads(before == 1 ? 2 : 1);
  options.batch_tokens = 8192;
  EXPECT_EQ(generate(decoder, prompts, &delta, options), expected);
  at::set_num_threads(before);
}

/// A pair of ids ends it, wherever; all that was made until then stays.
TEST(Generate, EndsWhereItIsToldAndKeepsWhatWasSeen) {
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences prompts = test::random_sequences(30, 512, 12, 5);
  test::MatrixDelta delta = test::random_delta(decoder, 0.05);
  GenerateOptions options{.max_new_tokens = 25, .stop_ids = {2}};
  Sequences expected = generate(decoder, prompts, &delta, options);
  const auto is_end = [](std::span<const TokenId> ids) {
    return ids.size() >= 2 && (ids[ids.size() - 2] + ids.back()) % 7 == 0;
  };
  int ended = 0;
  for (auto& ids : expected) {
    for (std::size_t n = 1; n < ids.size(); ++n) {
      if (!is_end(std::span(ids).first(n))) continue;
      ids.resize(n);
      ++ended;
    }
  }
  EXPECT_GT(ended, 10);
  options.ends = is_end;
  EXPECT_EQ(generate(decoder, prompts, &delta, options), expected);
  options.batch_tokens = 90;
  EXPECT_EQ(generate(decoder, prompts, &delta, options), expected);
}

TEST(Generate, BatchesSideBySideGiveTheSameIds) {
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences prompts = test::random_sequences(30, 512, 12, 5);
  test::MatrixDelta delta = test::random_delta(decoder, 0.05);
  const GenerateOptions options{.max_new_tokens = 10, .stop_ids = {2}, .batch_tokens = 90};
  const auto expected = generate(decoder, prompts, &delta, options);
  const MakeDelta copy = [&] { return std::make_unique<test::MatrixDelta>(delta); };
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    EXPECT_EQ(generate(decoder, prompts, copy, options), expected);
  }
  Sequences bad = prompts;
  bad[7] = {9999};
  EXPECT_THROW(generate(decoder, bad, copy, options), Error) << "from whichever thread";
  at::set_num_threads(before);
}

/// The argmax of a forward over the whole sequence, step by step.
std::vector<TokenId> without_cache(const Decoder& decoder, std::vector<TokenId> ids, std::size_t count) {
  const std::size_t prompt = ids.size();
  for (std::size_t i = 0; i < count; ++i) {
    const at::Tensor hidden = decoder.hidden(pack(Sequences{ids}, at::kCPU), nullptr);
    ids.push_back(static_cast<TokenId>(decoder.logits(hidden)[-1].argmax().item<std::int64_t>()));
  }
  return {ids.begin() + static_cast<std::ptrdiff_t>(prompt), ids.end()};
}

TEST(Generate, AgreesWithForwardsWithoutACache) {
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences prompts = test::random_sequences(6, 512, 12, 6);
  const auto generated = generate(decoder, prompts, nullptr, {.max_new_tokens = 15, .stop_ids = {}});
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(generated[i], without_cache(decoder, prompts[i], 15)) << i;
  }
}

TEST(Generate, StopsBeforeAnyStopId) {
  const Decoder decoder = test::load_decoder("stories260k");
  const auto free = generate(decoder, Sequences{{1}}, nullptr, {.max_new_tokens = 20, .stop_ids = {}})[0];
  ASSERT_EQ(free.size(), 20u);
  const TokenId stop = free[9];
  const auto first = std::find(free.begin(), free.end(), stop);
  const auto stopped =
      generate(decoder, Sequences{{1}}, nullptr, {.max_new_tokens = 20, .stop_ids = {511, stop}});
  EXPECT_THAT(stopped[0], testing::ElementsAreArray(free.begin(), first));
}

TEST(Generate, EndsAtTheModelsPositions) {
  const Decoder decoder = test::load_decoder("model/decoders/gqa_untied");  // 40 positions
  const Sequences prompts{std::vector<TokenId>(38, 3), std::vector<TokenId>(40, 3),
                          std::vector<TokenId>(28, 5), std::vector<TokenId>(39, 3)};
  const auto generated = generate(decoder, prompts, nullptr, {.max_new_tokens = 40, .stop_ids = {}});
  EXPECT_EQ(generated[0].size(), 2u);
  EXPECT_EQ(generated[1].size(), 0u);
  EXPECT_EQ(generated[2].size(), 12u);
  EXPECT_EQ(generated[3].size(), 1u);
}

TEST(Generate, FinishedSequencesNeverOutgrowThePositions) {
  const Decoder decoder = test::load_decoder("model/decoders/gqa_untied");
  Sequences prompts(12, std::vector<TokenId>(4, 3));
  prompts.emplace_back(35, TokenId{3});
  const auto free = generate(decoder, prompts, nullptr, {.max_new_tokens = 40, .stop_ids = {}});
  ASSERT_EQ(free[12].size(), 5u);
  const auto stopped = generate(decoder, prompts, nullptr, {.max_new_tokens = 40, .stop_ids = {free[12][1]}});
  EXPECT_LT(stopped[12].size(), 2u);
}

TEST(Generate, NothingAskedNothingGiven) {
  const Decoder decoder = test::load_decoder("stories260k");
  EXPECT_TRUE(generate(decoder, Sequences{}, nullptr, {}).empty());
  EXPECT_TRUE(generate(decoder, Sequences{{1}}, nullptr, {.max_new_tokens = 0, .stop_ids = {}})[0].empty());
  EXPECT_THROW(generate(decoder, Sequences{{1}, {}}, nullptr, {}), Error);
}

TEST(Generate, LowestIdOnATie) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "rocket-tied-logits";
  remove_all(folder);
  make_folders(folder);
  std::filesystem::copy_file("tests/data/tiny_random_llama/config.json", folder / "config.json");
  const SafeTensors file("tests/data/tiny_random_llama/model.safetensors");
  std::vector<at::Tensor> kept;
  std::vector<StoredTensor> stored;
  for (const StoredTensor& tensor : file.tensors()) {
    kept.push_back(as_tensor(tensor).clone());
    if (tensor.name == "lm_head.weight") kept.back().narrow(0, 77, 31923) = kept.back().narrow(0, 5, 1);
    stored.push_back(as_stored(tensor.name, kept.back()));
  }
  write_safetensors(folder / "model.safetensors", stored);
  const Decoder decoder = Decoder::load(folder, at::kFloat, at::kCPU);
  remove_all(folder);
  for (TokenId id = 0; id < 60; ++id) {
    const auto generated = generate(decoder, Sequences{{id}}, nullptr, {.max_new_tokens = 3, .stop_ids = {}});
    for (const TokenId next : generated[0]) EXPECT_LT(next, 77) << "equal to id 5";
  }
}

}  // namespace
}  // namespace rocket
