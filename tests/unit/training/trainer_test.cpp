#include "training/trainer.h"

#include <ATen/cpu/Utils.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <span>

#include "base/stop.h"
#include "comm/buckets.h"
#include "comm/reducer.h"
#include "moe/mixture_delta.h"
#include "training/checkpoint.h"
#include "training/fixed_order_reducer.h"
#include "training/micro_batch.h"
#include "unit/training/support.h"

namespace rocket {
namespace {

using test::relative;
using test::Seen;
using testing::HasSubstr;

TrainingEnd train_alone(Mixture& mixture, const std::vector<Example>& examples,
                        const TrainingOptions& options, const TrainingHooks& hooks,
                        const Snapshot* resume = nullptr) {
  const auto comm = make_local_comm();
  const auto reducer = make_host_reducer();
  return train(*comm, *reducer, test::lab_base(), mixture, examples, options, resume, hooks);
}

TrainingOptions options_of(const nlohmann::json& o, std::int64_t examples) {
  return {.learning_rate = o["learning_rate"],
          .epochs = o["steps"],
          .global_batch = examples,
          .micro_batch_tokens = o["balance"] == 0.0 ? 100 : 4096,
          .warmup = o["warmup"],
          .weight_decay = o["weight_decay"],
          .clip = o["clip"],
          .lora_dropout = 0,
          .balance_coefficient = o["balance"],
          .z_coefficient = o["z"]};
}

TEST(Trainer, FollowsTheCurveOfTorchsAdamW) {
  const auto examples = test::lab_examples();
  for (const auto& curve : test::reference()["curves"]) {
    const auto options = options_of(curve["options"], static_cast<std::int64_t>(examples.size()));
    Mixture mixture = test::lab_mixture(curve["options"]["top_k"]);
    Seen seen;
    EXPECT_EQ(train_alone(mixture, examples, options, seen.hooks()), TrainingEnd::finished);
    ASSERT_EQ(seen.log.size(), curve["loss"].size());
    double worst_loss = 0, worst_norm = 0;
    for (std::size_t s = 0; s < seen.log.size(); ++s) {
      worst_loss = std::max(worst_loss, relative(seen.log[s].loss, curve["loss"][s]));
      worst_norm = std::max(worst_norm, relative(seen.log[s].gradient_norm, curve["gradient_norm"][s]));
      EXPECT_EQ(seen.log[s].step, static_cast<std::int64_t>(s) + 1);
      EXPECT_EQ(seen.log[s].epoch, static_cast<std::int64_t>(s));
      EXPECT_EQ(seen.log[s].padding, 0);
    }
    std::cout << "worst relative difference of loss " << worst_loss << ", of gradient norm " << worst_norm
              << "\n";
    EXPECT_LT(worst_loss, 1e-4);
    EXPECT_LT(worst_norm, 1e-3);
    EXPECT_THAT(seen.log[0].expert_load,
                testing::Pointwise(testing::FloatNear(1e-6), curve["expert_load"].get<std::vector<float>>()));
  }
}

/// Checks one factor's gradients: norm of each expert's, and the first numbers of its first row. Experts that
/// almost no token chose have small gradients: PyTorch's own float32 gradients of these differ from its
/// float64 ones by 2e-4 (norm 1e-4) to 8e-3 (norm 8e-7) relative.
void expect_factor(const at::Tensor& gradient, const nlohmann::json& norm, const nlohmann::json& head) {
  const double size = norm;
  EXPECT_NEAR(gradient.norm().item<double>(), size, 1e-4 * size + 5e-8);
  const auto expected = at::tensor(head.get<std::vector<float>>());
  EXPECT_LT(test::largest_difference(gradient[0].narrow(0, 0, expected.numel()), expected),
            2e-5 * size + 5e-9);
}

TEST(Trainer, GradientsAgreeWithALoopOverExperts) {
  const auto examples = test::lab_examples();
  Mixture mixture = test::lab_mixture(2);
  mixture.track_gradient(at::zeros_like(mixture.flat()));
  const MicroBatch batch = lay_out(examples, {0, 1, 2, 3, 4, 5}, at::kCPU);
  MixtureDelta delta(mixture, {0, 0, 1, batch.records});
  const at::Tensor hidden = test::lab_base().hidden(batch.rows, &delta);
  test::lab_base().nll(hidden.index_select(0, batch.predicting_Q), batch.targets_Q).mean().backward();
  const auto& expected = test::reference()["curves"][0]["gradients"];
  for (const MixtureModule& m : mixture.modules()) {
    const auto& module = expected[test::lab_base().modules()[static_cast<std::size_t>(m.module)].name];
    std::int64_t column = 0;
    for (std::size_t e = 0; e < m.experts.size(); ++e) {
      expect_factor(m.a_RI.grad().narrow(0, column, m.ranks[e]), module["a_norm"][e], module["a_head"][e]);
      expect_factor(m.b_OR.grad().narrow(1, column, m.ranks[e]), module["b_norm"][e], module["b_head"][e]);
      const auto router = at::tensor(module["router"][e].get<std::vector<float>>());
      const at::Tensor row = m.router_NI.grad()[static_cast<std::int64_t>(e)];
      EXPECT_LT(test::largest_difference(row.narrow(0, 0, 4), router),
                1e-4 * row.norm().item<double>() + 1e-8);
      column += m.ranks[e];
    }
  }
}

TEST(Trainer, TheNumberOfRanksDoesNotMatter) {
  const auto examples = test::lab_examples();
  const TrainingOptions options{.learning_rate = 1e-3,
                                .epochs = 3,
                                .global_batch = 4,
                                .micro_batch_tokens = 100,
                                .lora_dropout = 0.1,
                                .seed = 3};
  std::vector<std::vector<StepLog>> logs;
  for (const int ranks : {1, 2, 3}) {
    Seen seen;
    run_on_threads(ranks, [&](Comm& comm) {
      Mixture mixture = test::lab_mixture(2);
      const auto reducer = make_host_reducer();
      train(comm, *reducer, test::lab_base(), mixture, examples, options, nullptr, seen.hooks());
    });
    logs.push_back(seen.log);
    EXPECT_EQ(seen.snapshots.size(), 1u) << "root alone, at the end";
  }
  ASSERT_EQ(logs[0].size(), 6u) << "three ranks and a last batch of two: one rank has no example";
  for (std::size_t p = 1; p < logs.size(); ++p) {
    for (std::size_t s = 0; s < 6; ++s) {
      EXPECT_LT(relative(logs[p][s].loss, logs[0][s].loss), 1e-5) << s;
      EXPECT_EQ(logs[p][s].target_tokens, logs[0][s].target_tokens);
      EXPECT_THAT(logs[p][s].expert_load,
                  testing::Pointwise(testing::FloatNear(1e-2), logs[0][s].expert_load));
    }
  }
}

/// Notes the values that are handed over before all are, and in which buckets they could leave at once.
class WatchfulReducer : public Reducer {
 public:
  static constexpr std::size_t kBucketSize = 5000;

  void begin(float* data, std::size_t count, std::int64_t) override {
    values_ = std::span(data, count);
    early_.clear();
    buckets_ = Buckets(count, kBucketSize);
  }
  void ready(std::size_t first, std::size_t count) override {
    const auto values = values_.subspan(first, count);
    early_.push_back({first, {values.begin(), values.end()}});
    buckets_.ready({first, count});
    while (buckets_.take()) ++buckets;
  }
  void added(std::int64_t) override {}
  void finish(Comm& comm) override {
    for (const auto& [first, values] : early_) {
      changed += !std::ranges::equal(values, values_.subspan(first, values.size()));
      handed_over += values.size();
    }
    comm.sum(values_);
    ++sums;
  }

  std::size_t handed_over = 0, buckets = 0;
  int changed = 0, sums = 0;

 private:
  std::span<float> values_;
  std::vector<std::pair<std::size_t, std::vector<float>>> early_;
  Buckets buckets_{0, 1};
};

void expect_handed_over(const char* what, Mixture mixture, TrainingOptions options) {
  SCOPED_TRACE(what);
  options.learning_rate = 1e-3;
  options.global_batch = 6;
  options.epochs = 2;
  WatchfulReducer reducer;
  const auto comm = make_local_comm();
  train(*comm, reducer, test::lab_base(), mixture, test::lab_examples(), options, nullptr, Seen().hooks());
  EXPECT_EQ(reducer.sums, 2);
  const auto values = static_cast<std::size_t>(mixture.flat().numel());
  EXPECT_EQ(reducer.handed_over, 2 * values);
  EXPECT_EQ(reducer.changed, 0) << "of those that were handed over";
  EXPECT_EQ(reducer.buckets, 2 * (values / WatchfulReducer::kBucketSize)) << "all but the sum of the loss";
}

Mixture one_expert() {
  const at::NoGradGuard no_grad;
  const LoraAdapter expert =
      load_adapter("tests/lab/bank/home", test::lab_base().modules(), at::kFloat, at::kCPU);
  return Mixture::assemble(std::span(&expert, 1), test::lab_base().modules(), {.top_k = 1}, at::kCPU);
}

TEST(Trainer, GradientsAreHandedOverDuringTheLastBackwardPass) {
  expect_handed_over("as it is", test::lab_mixture(2), {});
  expect_handed_over("several micro-batches", test::lab_mixture(2), {.micro_batch_tokens = 60});
  expect_handed_over("recomputed", test::lab_mixture(2), {.z_coefficient = 0.1, .recompute_layers = true});
  expect_handed_over("routers only", test::lab_mixture(2), {.router_only = true});
  expect_handed_over("without a choice", one_expert(), {.z_coefficient = 0.1});
}

void expect_same_bits_on_any_number_of_ranks(const Decoder& base) {
  const auto examples = test::lab_examples();
  const TrainingOptions options{.learning_rate = 1e-3,
                                .epochs = 3,
                                .global_batch = 5,
                                .micro_batch_tokens = 60,
                                .lora_dropout = 0.1,
                                .balance_coefficient = 0.1,
                                .seed = 3};
  std::vector<Snapshot> ends;
  for (const int ranks : {1, 2, 3, 4, 7}) {
    Seen seen;
    run_on_threads(ranks, [&](Comm& comm) {
      Mixture mixture = test::lab_mixture(2);
      const auto reducer = make_fixed_order_reducer(at::kCPU);
      train(comm, *reducer, base, mixture, examples, options, nullptr, seen.hooks());
    });
    ends.push_back(seen.snapshots.back());
  }
  ASSERT_EQ(ends[0].log.size(), 6u);
  for (std::size_t i = 1; i < ends.size(); ++i) {
    EXPECT_EQ(ends[i].parameters, ends[0].parameters);
    EXPECT_EQ(ends[i].second_moment, ends[0].second_moment);
    for (std::size_t s = 0; s < 6; ++s) EXPECT_EQ(ends[i].log[s].loss, ends[0].log[s].loss);
  }
}

TEST(Trainer, TheFixedOrderGivesTheSameBitsOnAnyNumberOfRanks) {
  expect_same_bits_on_any_number_of_ranks(test::lab_base());
}

TEST(Trainer, TheFixedOrderGivesTheSameBitsInBfloat16Too) {
  if (at::cpu::init_amx()) GTEST_SKIP() << "LibTorch multiplies on matrix tiles, and rows' bits are its own";
  expect_same_bits_on_any_number_of_ranks(test::lab_base_in_bfloat16());
}

TEST(Trainer, RecomputedLayersGiveTheSameBits) {
  TrainingOptions options{.learning_rate = 1e-3,
                          .epochs = 2,
                          .global_batch = 4,
                          .lora_dropout = 0.1,
                          .balance_coefficient = 0.1,
                          .z_coefficient = 0.01};
  Seen kept, recomputed;
  Mixture first = test::lab_mixture(2), second = test::lab_mixture(2);
  train_alone(first, test::lab_examples(), options, kept.hooks());
  options.recompute_layers = true;
  train_alone(second, test::lab_examples(), options, recomputed.hooks());
  EXPECT_EQ(kept.snapshots.back().parameters, recomputed.snapshots.back().parameters);
  EXPECT_EQ(kept.log.back().expert_load, recomputed.log.back().expert_load) << "no row counts twice";
}

/// Notes how many rows the last module is given; `all`: claims to read every module.
class WatchedDelta : public MixtureDelta {
 public:
  WatchedDelta(const Mixture& mixture, const MicroBatch& batch, bool all)
      : MixtureDelta(mixture, {0.1, 0, 1, batch.records}), all_(all) {}
  bool reads(std::int64_t module) const override { return all_ || MixtureDelta::reads(module); }
  void add(const Backend& backend, const at::Tensor& x_TI, std::span<const std::int64_t> modules,
           std::span<at::Tensor> outputs_TO) override {
    MixtureDelta::add(backend, x_TI, modules, outputs_TO);
    if (modules.back() + 1 == static_cast<std::int64_t>(test::lab_base().modules().size()))
      rows_of_last = x_TI.size(0);
  }
  std::int64_t rows_of_last = 0;

 private:
  bool all_;
};

struct OnePass {
  at::Tensor gradient_P;
  double nll = 0;
  std::int64_t rows_of_last = 0;
};

OnePass one_pass(Mixture& mixture, const MicroBatch& batch, bool read_all, bool recompute) {
  OnePass pass{at::zeros_like(mixture.flat())};
  mixture.track_gradient(pass.gradient_P);
  WatchedDelta delta(mixture, batch, read_all);
  const at::Tensor hidden_QD =
      test::lab_base().hidden_for_training(batch.rows, batch.predicting_Q, &delta, recompute);
  const at::Tensor nll = test::lab_base().nll(hidden_QD, batch.targets_Q).mean();
  nll.backward();
  mixture.track_gradient({});
  pass.nll = nll.item<double>();
  pass.rows_of_last = delta.rows_of_last;
  return pass;
}

/// Experts on the layers from `first` on alone.
Mixture mixture_from_layer(std::int64_t first) {
  const at::NoGradGuard no_grad;
  const std::vector<Module>& modules = test::lab_base().modules();
  const std::string layer = fmt::format("model.layers.{}.", first);
  std::vector<LoraAdapter> experts;
  for (const char* name : {"tool-weak", "color-weak"}) {
    experts.push_back(load_adapter(fmt::format("tests/lab/bank/{}", name), modules, at::kFloat, at::kCPU));
    std::erase_if(experts.back().weights, [&](const LoraWeight& w) {
      return modules[static_cast<std::size_t>(w.module)].name < layer;
    });
  }
  return Mixture::assemble(experts, modules, {.top_k = 1}, at::kCPU);
}

TEST(Trainer, RecomputesBehindLayersWithoutExperts) {
  const MicroBatch batch = lay_out(test::lab_examples(), {0, 1, 2}, at::kCPU);
  Mixture mixture = mixture_from_layer(test::lab_base().config().layers - 1);
  ASSERT_FALSE(mixture.modules().empty());
  const OnePass kept = one_pass(mixture, batch, false, false);
  const OnePass again = one_pass(mixture, batch, false, true);
  EXPECT_EQ(kept.nll, again.nll);
  EXPECT_TRUE(at::equal(kept.gradient_P, again.gradient_P));
  EXPECT_GT(kept.gradient_P.abs().max().item<float>(), 0);
}

TEST(Trainer, RowsThatNobodyReadsAreLeftOut) {
  const MicroBatch batch = lay_out(test::lab_examples(), {0, 1, 2, 3, 4, 5}, at::kCPU);
  const std::int64_t asked = batch.predicting_Q.numel();
  ASSERT_LT(asked, batch.rows.tokens());
  Mixture on_q_and_v = test::lab_mixture(2, {"tool-weak", "color-weak", "x-song"});
  for (const bool recompute : {false, true}) {
    const OnePass all = one_pass(on_q_and_v, batch, true, recompute);
    const OnePass fewer = one_pass(on_q_and_v, batch, false, recompute);
    EXPECT_EQ(all.rows_of_last, batch.rows.tokens());
    EXPECT_EQ(fewer.rows_of_last, asked);
    EXPECT_EQ(all.nll, fewer.nll);
    EXPECT_TRUE(at::equal(all.gradient_P, fewer.gradient_P)) << "recompute " << recompute;
  }
  Mixture on_all_linears = test::lab_mixture(2);
  EXPECT_EQ(one_pass(on_all_linears, batch, false, false).rows_of_last, batch.rows.tokens())
      << "routers count every row";
}

TEST(Trainer, ASpikeEndsTheRunAndNamesItsRecords) {
  std::vector<Example> examples = test::lab_examples();
  examples.resize(2);
  Mixture mixture = test::lab_mixture(2);
  Seen seen;
  TrainingHooks hooks = seen.hooks();
  hooks.example = [](std::int64_t i) { return fmt::format("shots.jsonl:{}", i + 1); };
  hooks.last_checkpoint = [] { return "step-0000035.h5"; };
  // After step 36 a weight is changed: the loss of step 37 is far from all before, which differ by dropout.
  TrainingOptions options{
      .learning_rate = 0, .epochs = 60, .lora_dropout = 0.01, .spike_z = 20, .checkpoint_every = 35};
  hooks.step = [&](const StepLog& log) {
    seen.log.push_back(log);
    if (log.step == 36) mixture.modules()[0].b_OR.detach().fill_(100);
  };
  const auto [code, message] = test::error_of([&] { train_alone(mixture, examples, options, hooks); });
  EXPECT_EQ(code, ExitCode::data);
  EXPECT_THAT(message,
              testing::AllOf(HasSubstr("step 37: the loss of"), HasSubstr("standard deviations above"),
                             HasSubstr("shots.jsonl:1"), HasSubstr("shots.jsonl:2"),
                             HasSubstr("the last good checkpoint is step-0000035.h5")));
  EXPECT_EQ(seen.log.size(), 36u);
  EXPECT_EQ(seen.snapshots.size(), 1u) << "nothing is kept of the step";
}

class Resume : public testing::Test {
 protected:
  ~Resume() override { clear_stop_request(); }

  /// Trains until after `stop_at` updates, or to the end where that is 0.
  Snapshot run(std::int64_t stop_at, const Snapshot* resume, TrainingEnd expected) {
    Mixture mixture = test::lab_mixture(2);
    Seen seen;
    TrainingHooks hooks = seen.hooks();
    hooks.step = [&](const StepLog& step) {
      if (step.step == stop_at) request_stop();
    };
    clear_stop_request();
    EXPECT_EQ(train_alone(mixture, examples, options, hooks, resume), expected);
    clear_stop_request();
    return seen.snapshots.back();
  }

  std::vector<Example> examples = test::lab_examples();
  TrainingOptions options{.learning_rate = 1e-3,
                          .epochs = 20,
                          .global_batch = 3,
                          .lora_dropout = 0.1,
                          .checkpoint_every = 1000,
                          .seed = 8};
};

TEST_F(Resume, GoesOnBitByBit) {
  const test::TemporaryFolder folder;
  const Snapshot whole = run(0, nullptr, TrainingEnd::finished);
  ASSERT_EQ(whole.step, 40);
  const Snapshot part = run(17, nullptr, TrainingEnd::stopped);
  EXPECT_EQ(part.step, 17);
  const Mixture mixture = test::lab_mixture(2);
  save_checkpoint(folder.path(), part, mixture, "f", 2);
  const auto restored = load_newest_checkpoint(folder.path(), mixture, "f");
  const Snapshot again = run(0, &*restored, TrainingEnd::finished);
  EXPECT_EQ(again.parameters, whole.parameters);
  EXPECT_EQ(again.first_moment, whole.first_moment);
  EXPECT_EQ(again.second_moment, whole.second_moment);
  ASSERT_EQ(again.log.size(), 40u);
  for (std::size_t s = 0; s < 40; ++s) {
    EXPECT_EQ(again.log[s].loss, whole.log[s].loss) << s;
    EXPECT_EQ(again.log[s].gradient_norm, whole.log[s].gradient_norm) << s;
    EXPECT_EQ(again.log[s].expert_load, whole.log[s].expert_load) << s;
  }
}

TEST_F(Resume, OfAFinishedRunDoesNothing) {
  options.epochs = 1;
  const Snapshot done = run(0, nullptr, TrainingEnd::finished);
  Mixture mixture = test::lab_mixture(2);
  Seen seen;
  EXPECT_EQ(train_alone(mixture, examples, options, seen.hooks(), &done), TrainingEnd::finished);
  EXPECT_TRUE(seen.log.empty());
  EXPECT_EQ(std::vector<float>(mixture.flat().const_data_ptr<float>(),
                               mixture.flat().const_data_ptr<float>() + mixture.flat().numel()),
            done.parameters);
}

TEST(Trainer, OtherRanksFollowRootsSnapshot) {
  const auto examples = test::lab_examples();
  const TrainingOptions options{.learning_rate = 1e-3, .epochs = 2, .global_batch = 6};
  Seen first, second;
  Mixture mixture = test::lab_mixture(2);
  TrainingOptions every = options;
  every.checkpoint_every = 1;
  train_alone(mixture, examples, every, first.hooks());
  ASSERT_EQ(first.snapshots.size(), 2u);
  run_on_threads(2, [&](Comm& comm) {
    Mixture mine = test::lab_mixture(2);
    const auto reducer = make_host_reducer();
    train(comm, *reducer, test::lab_base(), mine, examples, options,
          comm.is_root() ? &first.snapshots[0] : nullptr, second.hooks());
  });
  ASSERT_EQ(second.log.size(), 1u);
  EXPECT_LT(relative(second.log[0].loss, first.log[1].loss), 1e-5);
}

TEST(Trainer, DropoutDiffersFromStepToStep) {
  Mixture mixture = test::lab_mixture(2);
  Seen seen;
  train_alone(mixture, test::lab_examples(), {.learning_rate = 0, .epochs = 2, .lora_dropout = 0.3},
              seen.hooks());
  EXPECT_GT(relative(seen.log[1].loss, seen.log[0].loss), 1e-3);
}

TEST(Trainer, RouterOnlyLeavesTheExpertsAlone) {
  Mixture mixture = test::lab_mixture(2);
  const Mixture before = test::lab_mixture(2);
  Seen seen;
  train_alone(mixture, test::lab_examples(),
              {.router_only = true, .learning_rate = 1e-3, .epochs = 2, .weight_decay = 0.1}, seen.hooks());
  for (std::size_t w = 0; w < mixture.modules().size(); ++w) {
    EXPECT_TRUE(at::equal(mixture.modules()[w].a_RI, before.modules()[w].a_RI));
    EXPECT_TRUE(at::equal(mixture.modules()[w].b_OR, before.modules()[w].b_OR));
    EXPECT_FALSE(at::equal(mixture.modules()[w].router_NI, before.modules()[w].router_NI));
  }
}

TEST(Trainer, NoEpochsLeaveTheUntrainedMixture) {
  Mixture mixture = test::lab_mixture(2);
  Seen seen;
  EXPECT_EQ(train_alone(mixture, {}, {.epochs = 0}, seen.hooks()), TrainingEnd::finished);
  ASSERT_EQ(seen.snapshots.size(), 1u);
  EXPECT_EQ(seen.snapshots[0].step, 0);
  EXPECT_EQ(seen.snapshots[0].parameters[0], mixture.flat()[0].item<float>());
}

TEST(Trainer, ALossThatIsNotFiniteEndsTheRun) {
  std::atomic<int> failed = 0;
  Seen seen;
  const auto [code, message] = test::error_of([&] {
    run_on_threads(2, [&](Comm& comm) {
      Mixture mixture = test::lab_mixture(2);
      mixture.modules()[3].b_OR.fill_(std::numeric_limits<float>::infinity());
      const auto reducer = make_host_reducer();
      try {
        train(comm, *reducer, test::lab_base(), mixture, test::lab_examples(), {.epochs = 1}, nullptr,
              seen.hooks());
      } catch (const Error&) {
        ++failed;
        throw;
      }
    });
  });
  EXPECT_EQ(code, ExitCode::data);
  EXPECT_THAT(message,
              testing::AllOf(HasSubstr("step 1: loss"), HasSubstr("nan"), HasSubstr("not both finite")));
  EXPECT_EQ(failed, 2);
  EXPECT_TRUE(seen.log.empty() && seen.snapshots.empty());
}

TEST(Trainer, AFailureOfRootsHooksEndsAllRanks) {
  std::atomic<int> failed = 0;
  const auto [code, message] = test::error_of([&] {
    run_on_threads(2, [&](Comm& comm) {
      Mixture mixture = test::lab_mixture(2);
      const auto reducer = make_host_reducer();
      const TrainingHooks hooks{[](const StepLog&) {}, [](const Snapshot&) { fail_storage("disk full"); }};
      try {
        train(comm, *reducer, test::lab_base(), mixture, test::lab_examples(), {.epochs = 1}, nullptr, hooks);
      } catch (const Error&) {
        ++failed;
        throw;
      }
    });
  });
  EXPECT_EQ(code, ExitCode::storage);
  EXPECT_THAT(message, HasSubstr("disk full"));
  EXPECT_EQ(failed, 2);
}

TEST(Trainer, RefusesExamplesThatCannotBeTrainedOn) {
  Mixture mixture = test::lab_mixture(2);
  Seen seen;
  const auto refuse = [&](const std::vector<Example>& examples, const char* text) {
    const auto [code, message] = test::error_of([&] { train_alone(mixture, examples, {}, seen.hooks()); });
    EXPECT_EQ(code, ExitCode::data);
    EXPECT_THAT(message, HasSubstr(text));
  };
  refuse({}, "no example to train on");
  refuse({{std::vector<TokenId>(300, 5), 20}},
         "training example 0: 300 tokens, but the model has 256 positions");
}

}  // namespace
}  // namespace rocket
