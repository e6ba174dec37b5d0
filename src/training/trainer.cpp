#include "training/trainer.h"

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cmath>
#include <optional>

#include "backend/upload.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/stop.h"
#include "base/work_mark.h"
#include "comm/fixed_order_sum.h"
#include "model/device.h"
#include "moe/mixture_delta.h"
#include "training/micro_batch.h"
#include "training/optimizer.h"

namespace rocket {
namespace {

using Clock = std::chrono::steady_clock;

std::span<std::byte> bytes_of(at::Tensor& host) {
  return {static_cast<std::byte*>(host.mutable_data_ptr()), host.nbytes()};
}

std::vector<float> to_vector(const at::Tensor& values_P) {
  const at::Tensor host = values_P.to(at::kCPU).contiguous();
  return {host.const_data_ptr<float>(), host.const_data_ptr<float>() + host.numel()};
}

/// Everything of a step that is summed over ranks, as one float32 buffer. The gradients stand at its end:
/// from there on reducers send what is ready, and the rest is known last.
struct StepSums {
  StepSums(const Mixture& mixture, std::int64_t loads)
      : gradient_begin(rounded_up(2 + loads)),
        all(at::zeros({gradient_begin + mixture.flat().numel()}, mixture.flat().options())),
        nll(all.narrow(0, 0, 1)),
        rows(all.narrow(0, 1, 1)),
        choices(all.narrow(0, 2, loads)),
        gradient_P(all.narrow(0, gradient_begin, mixture.flat().numel())) {}

  /// To a whole cache line of gradients.
  static std::int64_t rounded_up(std::int64_t count) { return (count + 15) / 16 * 16; }

  std::int64_t gradient_begin;
  at::Tensor all;
  at::Tensor nll, rows, choices, gradient_P;  // views
};

/// Numbers of a global batch that every rank knows beforehand.
struct BatchTotals {
  std::int64_t targets = 0, rows = 0;
};

class Trainer {
 public:
  Trainer(Comm& comm, Reducer& reducer, const Decoder& decoder, Mixture& mixture,
          const std::vector<Example>& examples, const TrainingOptions& options, const TrainingHooks& hooks)
      : comm_(comm),
        reducer_(reducer),
        decoder_(decoder),
        mixture_(mixture),
        examples_(examples),
        options_(options),
        hooks_(hooks),
        batches_(global_batches(static_cast<std::int64_t>(examples.size()), options)),
        loads_(static_cast<std::int64_t>(mixture.modules().size() * mixture.expert_names().size())),
        same_bits_(decoder.device()),
        sums_(mixture, loads_),
        optimizer_(mixture, sums_.gradient_P, {options.weight_decay, options.router_only}) {
    mixture_.track_gradient(sums_.gradient_P, options.router_only);
    mixture_.after_gradient([this](const ParameterRange& range) {
      if (last_micro_batch_) hand_over(range);
    });
  }
  ~Trainer() { mixture_.track_gradient({}); }
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  TrainingEnd run(const Snapshot* resume);

 private:
  std::int64_t steps() const { return static_cast<std::int64_t>(batches_.size()); }
  void check_examples() const;
  void restore(const Snapshot* resume);
  void broadcast(at::Tensor& values_P);
  BatchTotals totals(const std::vector<std::int64_t>& batch) const;
  void compute(const std::vector<std::int64_t>& batch, const BatchTotals& totals);
  void compute_micro_batch(const MicroBatch& micro_batch, const BatchTotals& totals);
  void compute_last(const MicroBatch& micro_batch, const BatchTotals& totals);
  void hand_over(const ParameterRange& range);
  std::vector<std::int64_t> experts_of_modules() const;
  void check_health(const StepLog& log, const std::vector<std::int64_t>& batch) const;
  [[noreturn]] void stop_at(std::int64_t step, const std::vector<std::int64_t>& batch,
                            const std::string& reason) const;
  StepLog update(const std::vector<std::int64_t>& batch, const BatchTotals& totals);
  std::vector<float> expert_load() const;
  StepLog step();
  Snapshot snapshot();

  Comm& comm_;
  Reducer& reducer_;
  const Decoder& decoder_;
  Mixture& mixture_;
  const std::vector<Example>& examples_;
  const TrainingOptions& options_;
  const TrainingHooks& hooks_;
  const std::vector<std::vector<std::int64_t>> batches_;
  const std::int64_t loads_;
  const SameBits same_bits_;
  StepSums sums_;
  AdamW optimizer_;
  bool last_micro_batch_ = false;
  std::int64_t step_ = 0;     // updates done
  std::vector<StepLog> log_;  // root only
};

void Trainer::check_examples() const {
  if (options_.epochs > 0 && examples_.empty()) fail_data("there is no example to train on");
  for (std::size_t i = 0; i < examples_.size(); ++i) {
    const auto length = static_cast<std::int64_t>(examples_[i].ids.size());
    if (length > decoder_.config().max_positions) {
      fail_data("training example {}: {} tokens, but the model has {} positions; lower training.cutoff", i,
                length, decoder_.config().max_positions);
    }
  }
}

void Trainer::broadcast(at::Tensor& values_P) {
  at::Tensor host = values_P.to(at::kCPU).contiguous();
  comm_.broadcast(bytes_of(host), 0);
  values_P.copy_(host);
}

/// Root alone decides where training starts, so that ranks which saw different files cannot drift apart.
void Trainer::restore(const Snapshot* resume) {
  const at::NoGradGuard no_grad;
  on_root(comm_, [&] {
    if (resume == nullptr) return;
    const auto size = static_cast<std::size_t>(mixture_.flat().numel());
    if (resume->parameters.size() != size || resume->first_moment.size() != size ||
        resume->second_moment.size() != size || resume->step > steps()) {
      fail_internal("the snapshot of step {} does not fit the mixture or the {} steps", resume->step,
                    steps());
    }
    const auto copy = [](const std::vector<float>& from, at::Tensor& to) {
      to.copy_(at::from_blob(const_cast<float*>(from.data()), {to.numel()}, at::kFloat));
    };
    copy(resume->parameters, mixture_.flat());
    copy(resume->first_moment, optimizer_.first_moment());
    copy(resume->second_moment, optimizer_.second_moment());
    step_ = resume->step;
    log_ = resume->log;
  });
  comm_.broadcast(std::as_writable_bytes(std::span(&step_, 1)), 0);
  broadcast(mixture_.flat());
  broadcast(optimizer_.first_moment());
  broadcast(optimizer_.second_moment());
}

BatchTotals Trainer::totals(const std::vector<std::int64_t>& batch) const {
  BatchTotals sum;
  for (const std::int64_t index : batch) {
    const Example& example = examples_[static_cast<std::size_t>(index)];
    sum.targets += predicted_tokens(example);
    sum.rows += static_cast<std::int64_t>(example.ids.size()) - 1;
  }
  return sum;
}

/// Collective. Afterwards the sums of all micro-batches of the step stand in sums_, on every rank.
void Trainer::compute(const std::vector<std::int64_t>& batch, const BatchTotals& totals) {
  const int shares = reducer_.in_order() ? 1 : comm_.size();
  const auto all = micro_batches(examples_, batch, shares, options_.micro_batch_tokens);
  const auto count = static_cast<std::int64_t>(all.size());
  const LeafShare mine = leaf_share(count, comm_.rank(), comm_.size());
  sums_.all.zero_();
  reducer_.begin(sums_.all.mutable_data_ptr<float>(), static_cast<std::size_t>(sums_.all.numel()), count);
  agree(comm_, [&] {
    for (std::int64_t i = 0; i < mine.count; ++i) {
      const auto& examples = all[static_cast<std::size_t>(mine.first + i)];
      const MicroBatch micro_batch = lay_out(examples_, examples, decoder_.device());
      i + 1 < mine.count ? compute_micro_batch(micro_batch, totals) : compute_last(micro_batch, totals);
      reducer_.added(mine.first + i);
    }
  });
  reducer_.finish(comm_);
}

/// No gradient changes after the backward pass has been through its parameters.
void Trainer::compute_last(const MicroBatch& micro_batch, const BatchTotals& totals) {
  for (const ParameterRange& range : mixture_.without_gradient()) hand_over(range);
  last_micro_batch_ = true;
  compute_micro_batch(micro_batch, totals);
  last_micro_batch_ = false;
}

void Trainer::hand_over(const ParameterRange& range) {
  reducer_.ready(static_cast<std::size_t>(sums_.gradient_begin + range.offset),
                 static_cast<std::size_t>(range.count));
}

void Trainer::compute_micro_batch(const MicroBatch& micro_batch, const BatchTotals& totals) {
  const double share =
      static_cast<double>(micro_batch.rows.tokens()) /
      static_cast<double>(totals.rows * static_cast<std::int64_t>(mixture_.modules().size()));
  MixtureDelta delta(mixture_, {options_.lora_dropout, options_.seed, step_ + 1, micro_batch.records},
                     {options_.balance_coefficient * share, options_.z_coefficient * share});
  at::Tensor objective;
  {
    const at::AutoGradMode with_grad(true);
    const MarkedWork mark("forward");
    const at::Tensor hidden_QD = decoder_.hidden_for_training(micro_batch.rows, micro_batch.predicting_Q,
                                                              &delta, options_.recompute_layers);
    const at::Tensor nll = decoder_.nll(hidden_QD, micro_batch.targets_Q).sum();
    sums_.nll.add_(nll.detach());
    sums_.rows.add_(micro_batch.rows.tokens());
    objective = nll / static_cast<double>(std::max<std::int64_t>(totals.targets, 1));
  }
  objective.backward();
  std::vector<float> choices;
  for (const auto& module : delta.choices()) choices.insert(choices.end(), module.begin(), module.end());
  sums_.choices.add_(upload(at::tensor(choices, at::kFloat), sums_.choices.device()));
}

std::vector<float> Trainer::expert_load() const {
  std::vector<float> load = to_vector(sums_.choices);
  const std::size_t experts = mixture_.expert_names().size();
  for (std::size_t row = 0; row < load.size(); row += experts) {
    float sum = 0;
    for (std::size_t i = 0; i < experts; ++i) sum += load[row + i];
    for (std::size_t i = 0; i < experts; ++i) load[row + i] = sum > 0 ? load[row + i] / sum : 0;
  }
  return load;
}

std::vector<std::int64_t> Trainer::experts_of_modules() const {
  std::vector<std::int64_t> counts;
  for (const MixtureModule& m : mixture_.modules())
    counts.push_back(static_cast<std::int64_t>(m.experts.size()));
  return counts;
}

/// Root only: all ranks have the same sums, and root alone has the log.
void Trainer::check_health(const StepLog& log, const std::vector<std::int64_t>& batch) const {
  if (!std::isfinite(log.loss) || !std::isfinite(log.gradient_norm))
    stop_at(log.step, batch,
            fmt::format("loss {} and gradient norm {} are not both finite", log.loss, log.gradient_norm));
  const auto score = options_.spike_z > 0 ? spike_score(log_, log.loss) : std::nullopt;
  if (score && *score > options_.spike_z)
    stop_at(
        log.step, batch,
        fmt::format(
            "the loss of {:.4f} lies {:.1f} standard deviations above those before (training.spike_z: {})",
            log.loss, *score, options_.spike_z));
}

void Trainer::stop_at(std::int64_t step, const std::vector<std::int64_t>& batch,
                      const std::string& reason) const {
  std::vector<std::string> names;
  for (const std::int64_t index : batch)
    names.push_back(hooks_.example ? hooks_.example(index) : fmt::format("example {}", index));
  const std::string last = hooks_.last_checkpoint ? hooks_.last_checkpoint() : "";
  fail_data(
      "step {}: {}. Nothing of this step is kept; {}. Lower training.learning_rate, or look at the records "
      "of the "
      "step: {}",
      step, reason, last.empty() ? "there is no checkpoint yet" : "the last good checkpoint is " + last,
      fmt::join(names, ", "));
}

StepLog Trainer::update(const std::vector<std::int64_t>& batch, const BatchTotals& totals) {
  const at::NoGradGuard no_grad;
  const MarkedWork mark("update");
  StepLog log{.step = step_ + 1};
  log.epoch = step_ / (steps() / options_.epochs);
  log.target_tokens = totals.targets;
  log.learning_rate = learning_rate_at(options_, log.step, steps());
  log.loss = sums_.nll.item<double>() / static_cast<double>(std::max<std::int64_t>(totals.targets, 1));
  const double computed = sums_.rows.item<double>();
  log.padding = computed > 0 ? 1 - static_cast<double>(totals.rows) / computed : 0;
  log.gradient_norm = decoder_.backend().l2_norm(sums_.gradient_P);
  log.expert_load = expert_load();
  log.load_entropy = load_entropy(log.expert_load, experts_of_modules());
  log.memory_bytes = peak_bytes();
  log.device_memory_bytes = peak_device_bytes(sums_.gradient_P.device());
  if (comm_.is_root()) check_health(log, batch);
  const double clip = options_.clip / (log.gradient_norm + 1e-6);
  if (options_.clip > 0 && clip < 1) sums_.gradient_P.mul_(clip);
  optimizer_.update(log.learning_rate, log.step);
  return log;
}

StepLog Trainer::step() {
  const auto start = Clock::now();
  const auto& batch = batches_[static_cast<std::size_t>(step_)];
  const BatchTotals batch_totals = totals(batch);
  compute(batch, batch_totals);
  StepLog log;
  agree(comm_, [&] { log = update(batch, batch_totals); });
  ++step_;
  log.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return log;
}

Snapshot Trainer::snapshot() {
  return {step_, to_vector(mixture_.flat()), to_vector(optimizer_.first_moment()),
          to_vector(optimizer_.second_moment()), log_};
}

TrainingEnd Trainer::run(const Snapshot* resume) {
  agree(comm_, [&] { check_examples(); });
  restore(resume);
  const auto checkpoint = [&] { on_root(comm_, [&] { hooks_.checkpoint(snapshot()); }); };
  if (steps() == 0) checkpoint();
  while (step_ < steps()) {
    if (any_rank(comm_, stop_requested())) {
      checkpoint();
      return TrainingEnd::stopped;
    }
    StepLog log = step();
    on_root(comm_, [&] {
      hooks_.step(log);
      log_.push_back(std::move(log));
    });
    if (step_ == steps() || step_ % options_.checkpoint_every == 0) checkpoint();
  }
  return TrainingEnd::finished;
}

}  // namespace

TrainingEnd train(Comm& comm, Reducer& reducer, const Decoder& decoder, Mixture& mixture,
                  const std::vector<Example>& examples, const TrainingOptions& options,
                  const Snapshot* resume, const TrainingHooks& hooks) {
  return Trainer(comm, reducer, decoder, mixture, examples, options, hooks).run(resume);
}

}  // namespace rocket
