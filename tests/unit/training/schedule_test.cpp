#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "backend/cpu/cpu_backend.h"
#include "training/micro_batch.h"
#include "training/optimizer.h"
#include "training/trainer.h"

namespace rocket {
namespace {

using testing::ElementsAre;

Example example(std::size_t length, std::int64_t begin) {
  Example e;
  e.ids.resize(length);
  std::iota(e.ids.begin(), e.ids.end(), 0);
  e.target_begin = begin;
  return e;
}

TEST(LearningRate, WarmsUpThenDecays) {
  TrainingOptions options{.learning_rate = 1, .warmup = 0.15};
  const auto rates = [&] {
    std::vector<double> values;
    for (std::int64_t step = 1; step <= 10; ++step) values.push_back(learning_rate_at(options, step, 10));
    return values;
  };
  options.schedule = Schedule::linear;
  EXPECT_THAT(rates(), testing::Pointwise(testing::DoubleNear(1e-12), {0.5, 1., 1., 7. / 8, 6. / 8, 5. / 8,
                                                                       4. / 8, 3. / 8, 2. / 8, 1. / 8}));
  options.schedule = Schedule::constant;
  EXPECT_THAT(rates(), ElementsAre(0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1));
  options.schedule = Schedule::cosine;
  EXPECT_DOUBLE_EQ(rates()[2], 1);
  EXPECT_DOUBLE_EQ(rates()[6], 0.5);
  EXPECT_NEAR(rates()[9], (1 + std::cos(3.14159265358979 * 7 / 8)) / 2, 1e-12);
  options.warmup = 0;
  EXPECT_DOUBLE_EQ(rates()[0], 1);
}

TEST(GlobalBatches, CoverEveryEpochAndKeepTheLast) {
  const TrainingOptions options{.epochs = 3, .global_batch = 4, .seed = 5};
  const auto batches = global_batches(10, options);
  ASSERT_EQ(batches.size(), 9u);
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::int64_t> all;
    for (std::size_t b = 0; b < 3; ++b) {
      const auto& batch = batches[3 * epoch + b];
      EXPECT_EQ(batch.size(), b == 2 ? 2u : 4u);
      all.insert(all.end(), batch.begin(), batch.end());
    }
    std::sort(all.begin(), all.end());
    EXPECT_THAT(all, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  }
  EXPECT_NE(batches[0], batches[3]) << "each epoch has its own order";
  EXPECT_EQ(global_batches(10, options), batches);
  EXPECT_NE(global_batches(10, {.epochs = 3, .global_batch = 4, .seed = 6}), batches);
  EXPECT_TRUE(global_batches(10, {.epochs = 0}).empty());
}

TEST(Cutoff, TruncatesAndDrops) {
  CutoffCount count;
  std::vector<Example> examples = {example(5, 2), example(9, 2), example(9, 6), example(9, 5), example(6, 6)};
  for (std::size_t i = 0; i < examples.size(); ++i) examples[i].record = static_cast<std::int64_t>(10 + i);
  const auto kept = apply_cutoff(examples, 6, count);
  ASSERT_EQ(kept.size(), 4u);
  EXPECT_EQ(kept[1].ids.size(), 6u);
  EXPECT_EQ(kept[1].target_tokens(), 4);
  EXPECT_EQ(kept[2].target_tokens(), 1);
  EXPECT_EQ(count.truncated, 2);
  EXPECT_THAT(count.dropped, ElementsAre(12));
}

TEST(MicroBatches, AreTheFewestOfLikeSize) {
  std::vector<Example> examples;
  for (const std::size_t length : {11, 3, 21, 5, 11, 31}) examples.push_back(example(length, 2));
  const std::vector<std::int64_t> batch{5, 4, 3, 2, 1, 0};  // rows 30, 10, 4, 20, 2, 10
  EXPECT_THAT(micro_batches(examples, batch, 1, 1000), ElementsAre(ElementsAre(5, 2, 4, 0, 3, 1)));
  EXPECT_THAT(micro_batches(examples, batch, 1, 40), ElementsAre(ElementsAre(5, 0), ElementsAre(2, 4, 3, 1)));
  EXPECT_THAT(micro_batches(examples, batch, 2, 1000), micro_batches(examples, batch, 1, 40));
  EXPECT_THAT(micro_batches(examples, batch, 1, 20), testing::SizeIs(4)) << "one that is longer stands alone";
  EXPECT_THAT(micro_batches(examples, batch, 1, 1), testing::SizeIs(6));
  EXPECT_THAT(micro_batches(examples, batch, 50, 1000), testing::SizeIs(6))
      << "no more than there are examples";
  EXPECT_THAT(micro_batches(examples, {}, 3, 20), testing::IsEmpty());
}

TEST(MicroBatches, RowsPredictTheTargets) {
  const std::vector<Example> examples{example(4, 2), example(3, 0)};
  const MicroBatch batch = lay_out(examples, {1, 0}, at::kCPU);
  const auto numbers = [](const at::Tensor& t) {
    return std::vector<std::int64_t>(t.const_data_ptr<std::int64_t>(),
                                     t.const_data_ptr<std::int64_t>() + t.numel());
  };
  EXPECT_THAT(numbers(batch.rows.ids_T), ElementsAre(0, 1, 0, 1, 2));
  EXPECT_THAT(numbers(batch.predicting_Q), ElementsAre(0, 1, 3, 4));
  EXPECT_THAT(numbers(batch.targets_Q), ElementsAre(1, 2, 2, 3));
  EXPECT_EQ(predicted_tokens(examples[0]) + predicted_tokens(examples[1]), 4);
  EXPECT_THAT(batch.records, ElementsAre(1, 0));
}

TEST(L2Norm, IsExactWhereItCanBeAndIgnoresThreads) {
  EXPECT_EQ(cpu_backend().l2_norm(at::full({300'000}, 3.0f)), 3 * std::sqrt(300'000.0));
  const at::Tensor values = at::randn({1'000'003});
  const double norm = cpu_backend().l2_norm(values);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  EXPECT_EQ(cpu_backend().l2_norm(values), norm);
  at::set_num_threads(threads);
  EXPECT_NEAR(norm, values.to(at::kDouble).norm().item<double>(), 1e-6);
}

}  // namespace
}  // namespace rocket
