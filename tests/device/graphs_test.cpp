// Steps that are told a device once: what a graph repeats, and generations with graphs against those without.
#include <gmock/gmock.h>

#include <map>

#include "adapters/bank_delta.h"
#include "device/capture.h"
#include "device/phases.h"
#include "model/step_graphs.h"

namespace rocket {
namespace {

using emulated::WithoutGraphs;
using testing::ElementsAre;
using testing::HasSubstr;

at::Tensor on_device(const std::vector<float>& values) {
  return at::tensor(values).to(test::gpu());
}

std::vector<float> on_host(const at::Tensor& x) {
  const at::Tensor plain = x.cpu().contiguous();
  return {plain.const_data_ptr<float>(), plain.const_data_ptr<float>() + plain.numel()};
}

TEST(LaunchGraph, ComputesOnWhatItsTensorsHold) {
  const at::Tensor x = on_device({1, 2, 3, 4}), sum = on_device({0, 0, 0, 0});
  at::Tensor y;
  const auto graph = emulated::capture(
      test::gpu(),
      [&] {
        y = at::mm(x.view({2, 2}), x.view({2, 2}).t()) + 1;
        sum.zero_().narrow(0, 1, 2).add_(x.narrow(0, 0, 2));
      },
      nullptr);
  x.copy_(on_device({1, 0, 0, 2}));
  graph->replay();
  EXPECT_THAT(on_host(y), ElementsAre(2, 1, 1, 5));
  EXPECT_THAT(on_host(sum), ElementsAre(0, 1, 0, 0));
}

TEST(LaunchGraph, IsOneLaunchOfTheHost) {
  const at::Tensor x = on_device({1, 2});
  emulated::forget_counts();
  const auto graph = emulated::capture(
      test::gpu(), [&] { (x + 1).mul_(2).sum(); }, nullptr);
  EXPECT_EQ(emulated::counted_in_all().launches, 0) << "nothing computes while it is recorded";
  graph->replay();
  graph->replay();
  const emulated::Counts counts = emulated::counted_in_all();
  EXPECT_EQ(counts.launches, 2);
  std::int64_t kernels = 0;
  for (const auto& [launch, count] : counts.work) kernels += count;
  EXPECT_EQ(kernels, 6);
}

TEST(LaunchGraph, RefusesWhatAGpuCannotRecord) {
  const at::Tensor x = on_device({1, 2});
  const auto message = [&](const std::function<void()>& work) -> std::string {
    try {
      emulated::capture(test::gpu(), work, nullptr);
    } catch (const c10::Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(message([&] { x.sum().item<float>(); }), HasSubstr("the host waits"));
  EXPECT_THAT(message([&] { x.cpu(); }), HasSubstr("while launches are recorded"));
  EXPECT_THAT(message([&] { upload(std::vector<std::int64_t>{1}, test::gpu()); }),
              HasSubstr("from or to the host"));
  EXPECT_THAT(message([&] { at::nonzero(x); }), HasSubstr("the host waits"));
}

TEST(UploadSlots, KeepTheirPlace) {
  UploadSlots slots;
  const auto put = [&](std::vector<std::int64_t> values) {
    const UploadSlots::Use use(slots);
    return upload(values, test::gpu());
  };
  const at::Tensor first = put({1, 2}), second = put({3, 4});
  EXPECT_TRUE(first.is_same(second));
  EXPECT_EQ(first.sum().item<std::int64_t>(), 7);
  EXPECT_FALSE(first.is_same(upload(std::vector<std::int64_t>{1, 2}, test::gpu())));
  EXPECT_ANY_THROW(put({1, 2, 3}));
}

TEST(StepGraphs, RowsAreRoundedUp) {
  EXPECT_EQ(rows_of_step(1), 1);
  EXPECT_EQ(rows_of_step(3), 4);
  EXPECT_EQ(rows_of_step(16), 16);
  EXPECT_EQ(rows_of_step(17), 32);
  EXPECT_EQ(rows_of_step(100), 112);
  EXPECT_EQ(rows_of_step(300), 320);
}

/// Where a text's length turns its rows, the host looks at each step.
TEST(StepGraphs, NotWhereATextsLengthTurnsItsRows) {
  DecoderConfig config = test::lab_base_on_gpu(at::kBFloat16).config();
  const auto has_graphs = [&] {
    const Decoder decoder = Decoder::fresh(config, at::kBFloat16, test::gpu());
    return has_step_graphs(decoder, *decoder.make_cache(64));
  };
  EXPECT_TRUE(has_graphs());
  config.rope.original_positions = config.max_positions / 2;
  config.rope.short_factors.assign(static_cast<std::size_t>(config.head_dim / 2), 1);
  config.rope.long_factors.assign(static_cast<std::size_t>(config.head_dim / 2), 2);
  for (const RopeKind kind : {RopeKind::dynamic, RopeKind::longrope}) {
    config.rope.kind = kind;
    EXPECT_FALSE(has_graphs()) << name_of(kind);
  }
}

using Bank = std::vector<std::shared_ptr<const LoraAdapter>>;

/// Adapters of different ranks and targets, and the base alone between them.
Bank bank(const Decoder& decoder) {
  Bank adapters;
  for (const std::string name : {"home", "sells", "", "color-weak", "x-star"}) {
    if (name.empty()) {
      adapters.push_back(nullptr);
      continue;
    }
    adapters.push_back(std::make_shared<const LoraAdapter>(
        load_adapter("tests/lab/bank/" + name, decoder.modules(), decoder.compute(), decoder.device())));
  }
  return adapters;
}

/// Generations of all adapters on the shots, which end at different lengths.
std::vector<std::vector<TokenId>> generations(std::int64_t batch_tokens) {
  const Decoder& decoder = test::lab_base_on_gpu(at::kBFloat16);
  const std::vector<std::int64_t>& eos = decoder.config().eos_ids;
  std::vector<std::vector<TokenId>> all;
  for (auto& of_adapter : score_block(
           decoder, bank(decoder), test::lab_shots(7),
           {.max_new_tokens = 48, .stop_ids = {eos.begin(), eos.end()}, .batch_tokens = batch_tokens})) {
    for (ShotScore& shot : of_adapter) all.push_back(std::move(shot.generated));
  }
  return all;
}

std::int64_t graphs_started() {
  std::int64_t started = 0;
  for (const auto& [place, counts] : emulated::counted()) {
    const auto found = counts.launched.find("graph");
    if (found != counts.launched.end()) started += found->second;
  }
  return started;
}

/// With few positions texts enter while others go on: adapters are joined anew, and ranges move.
class GenerationsWithGraphs : public testing::TestWithParam<std::int64_t> {};

TEST_P(GenerationsWithGraphs, AreThoseWithout) {
  emulated::forget_counts();
  const auto found = generations(GetParam());
  const std::int64_t started = graphs_started();
  EXPECT_GT(started, 20);
  const WithoutGraphs none;
  const auto expected = generations(GetParam());
  EXPECT_EQ(graphs_started(), started) << "the others took none";
  std::size_t tokens = 0;
  for (const auto& ids : expected) tokens += ids.size();
  EXPECT_GT(tokens, 300);
  EXPECT_EQ(found, expected);
}

INSTANTIATE_TEST_SUITE_P(Positions, GenerationsWithGraphs, testing::Values(150, 600, 8192));

/// A prompt of `length` ids and who serves it.
struct Served {
  std::size_t length = 0;
  std::string adapter;  // empty: the base alone
};

/// Continued in this order, as many at a time as `positions` allow: with graphs as without.
void expect_same(const std::vector<Served>& texts, std::int64_t positions, std::int64_t new_tokens) {
  const Decoder& decoder = test::lab_base_on_gpu(at::kBFloat16);
  std::vector<TokenId> ids;
  for (const ShotTokens& shot : test::lab_shots(7))
    ids.insert(ids.end(), shot.prompt.begin(), shot.prompt.end());
  std::map<std::string, std::shared_ptr<const LoraAdapter>> adapters{{"", nullptr}};
  Bank served;
  std::vector<Request> requests;
  for (const Served& text : texts) {
    auto& adapter = adapters[text.adapter];
    if (adapter == nullptr && !text.adapter.empty())
      adapter = std::make_shared<const LoraAdapter>(load_adapter(
          "tests/lab/bank/" + text.adapter, decoder.modules(), decoder.compute(), decoder.device()));
    served.push_back(adapter);
    requests.push_back({.ids = {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(text.length)},
                        .prompt = static_cast<std::int64_t>(text.length),
                        .max_new_tokens = new_tokens,
                        .group = static_cast<std::int64_t>(requests.size())});
  }
  const auto answers = [&] {
    BankDelta delta(served);
    std::vector<std::vector<TokenId>> all;
    for (Answer& answer : serve(decoder, requests, &delta, {.batch_tokens = positions}))
      all.push_back(std::move(answer.generated));
    return all;
  };
  emulated::forget_counts();
  const auto found = answers();
  EXPECT_GT(graphs_started(), new_tokens / 2);
  const WithoutGraphs none;
  EXPECT_EQ(found, answers());
}

TEST(StepGraphs, AreToldAnewWhereTheCacheHasGrown) {
  expect_same({{8, ""}, {20, ""}, {50, ""}, {90, ""}}, 1, 16);
}

TEST(StepGraphs, AreToldAnewWhereAdaptersAreJoined) {
  expect_same({{40, "home"}, {40, "sells"}, {40, ""}, {40, "color"}}, 1, 16);
}

TEST(StepGraphs, TextsOutgrowTheBoundOfTheirPositions) {
  expect_same({{30, "home"}}, 1, 200);
}

constexpr int kSteps = 12;

/// Two texts of the base go on, then two of an adapter, which was joined before.
std::vector<std::int64_t> two_and_two(bool with_graphs, const std::string& name) {
  const Decoder& decoder = test::lab_base_on_gpu(at::kBFloat16);
  const auto adapter = std::make_shared<const LoraAdapter>(
      load_adapter("tests/lab/bank/" + name, decoder.modules(), decoder.compute(), decoder.device()));
  BankDelta delta({nullptr, nullptr, adapter, adapter});
  const auto cache = decoder.make_cache(512);
  StepGraphs steps(decoder, &delta, *cache);
  const auto some = test::lab_shots(4);
  std::vector<std::vector<TokenId>> prompts;
  for (const ShotTokens& shot : some) {
    cache->open(static_cast<std::int64_t>(prompts.size()), 100);
    prompts.push_back(shot.prompt);
  }
  decoder.hidden(pack(prompts, decoder.device()), &delta, cache.get());
  std::vector<std::int64_t> all;
  for (const std::int64_t first : {0, 2}) {
    std::vector<std::int64_t> ids;  // as the answers begin
    for (const std::int64_t s : {first, first + 1}) {
      const ShotTokens& shot = some[static_cast<std::size_t>(s)];
      ids.push_back(shot.example.ids[shot.prompt.size()]);
    }
    for (int step = 0; step < kSteps; ++step) {
      const std::vector<std::int64_t> positions = {cache->length(first), cache->length(first + 1)},
                                      sequences = {first, first + 1};
      at::Tensor next;
      if (with_graphs)
        next = steps.next_ids({ids, positions, sequences});
      else
        next = decoder.best(decoder.hidden(lay_out(ids, positions, {0, 1, 2}, sequences, decoder.device()),
                                           &delta, cache.get()));
      next = next.to(at::kCPU, at::kLong);
      ids = {next[0].item<std::int64_t>(), next[1].item<std::int64_t>()};
      all.insert(all.end(), ids.begin(), ids.end());
    }
  }
  return all;
}

TEST(StepGraphs, AreTheSameWhoeverIsServed) {
  emulated::forget_counts();
  const auto found = two_and_two(true, "sells");
  EXPECT_EQ(graphs_started(), 2 * kSteps - 1) << "all but the first step";
  const auto expected = two_and_two(false, "sells");
  EXPECT_EQ(found, expected);
  EXPECT_NE(expected, two_and_two(false, "home")) << "this would prove nothing";
}

TEST(StepGraphs, AMixtureGoesOnAsWithout) {
  const Decoder& decoder = test::lab_base_on_gpu(at::kBFloat16);
  std::vector<LoraAdapter> experts;
  for (const std::string name : {"home", "sells", "color"})
    experts.push_back(
        load_adapter("tests/lab/bank/" + name, decoder.modules(), at::kFloat, decoder.device()));
  std::vector<std::vector<TokenId>> prompts;
  for (const ShotTokens& shot : test::lab_shots(5)) prompts.push_back(shot.prompt);
  for (const double top_p : {1.0, 0.6}) {
    const Mixture mixture =
        Mixture::assemble(experts, decoder.modules(), {.top_k = 2, .top_p = top_p}, decoder.device());
    const auto generated = [&] {
      MixtureDelta delta(mixture);
      return generate(decoder, prompts, &delta, {.max_new_tokens = 24});
    };
    emulated::forget_counts();
    const auto found = generated();
    EXPECT_GT(graphs_started(), 10);
    const WithoutGraphs none;
    EXPECT_EQ(found, generated());
  }
}

/// Reads a value in the middle of a forward, which no graph can hold, and adds it.
class LooksAtAValue : public LinearDelta {
 public:
  void arrange(const PackedRows&) override {}
  void add(const Backend&, const at::Tensor& x_TI, std::span<const std::int64_t>,
           std::span<at::Tensor> outputs_TO) override {
    outputs_TO[0].mul_(x_TI.numel() > 0 && x_TI.isfinite().all().item<bool>() ? 1.5 : 0.0);
  }
  StepLaunches step_launches() const override { return {.fixed = true}; }
};

TEST(StepGraphs, AStepThatCannotBeRecordedIsComputed) {
  const Decoder& decoder = test::lab_base_on_gpu(at::kBFloat16);
  std::vector<std::vector<TokenId>> prompts;
  for (const ShotTokens& shot : test::lab_shots(3)) prompts.push_back(shot.prompt);
  const auto generated = [&] {
    LooksAtAValue delta;
    return generate(decoder, prompts, &delta, {.max_new_tokens = 12});
  };
  emulated::forget_counts();
  const auto found = generated();
  EXPECT_EQ(graphs_started(), 0);
  const WithoutGraphs none;
  EXPECT_EQ(found, generated());
}

/// Of generations on shapes of public bases: what 64 further steps cost the host.
TEST(StepGraphs, AStepIsOneLaunchAndFewCopies) {
  const emulated::WithoutArithmetic sizes_only;
  const test::NamedShape shape = test::public_shapes().front();
  const Decoder decoder = Decoder::fresh(shape.config, at::kBFloat16, test::gpu());
  const auto bank = test::sizes_of_bank(decoder, 4);
  const auto texts = test::sizes_of_shots(16, 128, 1);
  const auto counts_of = [&](std::int64_t steps) {
    emulated::forget_counts();
    score_block(decoder, bank, texts, {.max_new_tokens = steps, .batch_tokens = 32768});
    return emulated::counted_in_all();
  };
  const emulated::Counts few = counts_of(8), many = counts_of(72);
  const auto each = [](std::int64_t more) { return static_cast<double>(more) / 64; };
  const double launches = each(many.launches - few.launches),
               uploads = each(many.copies_to_device - few.copies_to_device),
               answers = each(many.copies_to_host - few.copies_to_host), waits = each(many.waits - few.waits);
  std::cout << "a step of 64 texts: " << launches << " launches, " << uploads << " copies up, " << answers
            << " down, " << waits << " waits\n";
  EXPECT_EQ(launches, 1);
  EXPECT_LE(uploads, 5);
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(waits, 1);
}

}  // namespace
}  // namespace rocket
